"""Version 0002 keeps the grades of runs."""

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the empty table."""
    from alembic import op
    from sqlalchemy import BigInteger, Column, Float, ForeignKeyConstraint, Integer, Text

    op.create_table(
        "grades",
        Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
        Column("tenant", Text, nullable=False),
        Column("run_id", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("grader", Text, nullable=False),
        Column("score", Float),
        Column("reason", Text, nullable=False),
        Column("reference", Text),
        Column("created", Float, nullable=False),
        Column("replaced", Float),
        ForeignKeyConstraint(
            ["tenant", "run_id"], ["runs.tenant", "runs.run_id"], name="grades_of_run", ondelete="CASCADE"
        ),
    )
    op.create_index("grades_by_run", "grades", ["tenant", "run_id"])
