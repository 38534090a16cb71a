"""Version 0001 is where every store begins: a new store is made from `store.schema` whole."""

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Nothing precedes the first version."""
