"""Version 0005 keeps what users told the network to remember."""

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the empty table."""
    from alembic import op
    from sqlalchemy import BigInteger, Column, Float, Integer, Text, UniqueConstraint

    op.create_table(
        "facts",
        Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
        Column("tenant", Text, nullable=False),
        Column("user_id", Text, nullable=False),
        Column("fact_id", Text, nullable=False),
        Column("text", Text, nullable=False),
        Column("created", Float, nullable=False),
        UniqueConstraint("tenant", "user_id", "fact_id", name="facts_by_user"),
    )
