"""Version 0004 keeps the versions of networks, the trials behind them and the files that they use."""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the empty tables."""
    from alembic import op
    from sqlalchemy import BigInteger, Column, Float, Integer, LargeBinary, Text, UniqueConstraint

    op.create_table(
        "versions",
        Column("tenant", Text, primary_key=True),
        Column("network", Text, primary_key=True),
        Column("revision", Integer, primary_key=True),
        Column("graph", Text, nullable=False),
        Column("edit", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("changes", Text, nullable=False),
        Column("trial", Text),
        Column("created", Float, nullable=False),
    )
    op.create_table(
        "trials",
        Column("place", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
        Column("tenant", Text, nullable=False),
        Column("trial_id", Text, nullable=False),
        Column("network", Text, nullable=False),
        Column("edit", Text, nullable=False),
        Column("node", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("state", Text, nullable=False),
        Column("verdict", Text, nullable=False),
        Column("number", Integer),
        Column("evidence", Text, nullable=False),
        Column("created", Float, nullable=False),
        UniqueConstraint("tenant", "trial_id", name="trials_by_id"),
        UniqueConstraint("tenant", "network", "number", name="trials_by_number"),
    )
    op.create_table(
        "files",
        Column("tenant", Text, primary_key=True),
        Column("sha256", Text, primary_key=True),
        Column("content", LargeBinary, nullable=False),
        Column("created", Float, nullable=False),
    )
