"""Alembic scripts, one a schema version, named `rNNNN_what.py`; `store.schema` is where they lead."""
