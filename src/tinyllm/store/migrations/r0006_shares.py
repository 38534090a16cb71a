"""Version 0006 keeps which share of all conversations a version of a network answers, and what came of it."""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add both columns; what is there already answers everybody."""
    from alembic import op
    from sqlalchemy import Column, Float, Text, text

    op.add_column("versions", Column("share", Float, nullable=False, server_default=text("1")))
    op.add_column("versions", Column("evidence", Text, nullable=False, server_default="{}"))
