"""Version 0003 keeps the events of one append as one row."""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make one row of the events of each run."""
    from alembic import op
    from sqlalchemy import Column, ForeignKeyConstraint, Integer, Text, text

    op.rename_table("events", "single_events")
    events = op.create_table(
        "events",
        Column("tenant", Text, primary_key=True),
        Column("run_id", Text, primary_key=True),
        Column("sequence", Integer, primary_key=True),
        Column("count", Integer, nullable=False),
        Column("events", Text, nullable=False),
        Column("schema_version", Integer, nullable=False),
        ForeignKeyConstraint(
            ["tenant", "run_id"], ["runs.tenant", "runs.run_id"], name="events_of_run", ondelete="CASCADE"
        ),
    )
    singles = op.get_bind().execute(
        text(
            "SELECT tenant, run_id, schema_version, sequence, kind, at_ms, node, data"
            " FROM single_events ORDER BY tenant, run_id, sequence"
        ).execution_options(yield_per=1000)
    )
    for row in _by_run(singles):
        op.get_bind().execute(events.insert(), row)
    op.drop_table("single_events")


def _by_run(singles: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for (tenant, run_id), found in groupby(singles, key=lambda row: (row.tenant, row.run_id)):
        rows = list(found)
        events = [[row.sequence, row.kind, row.at_ms, row.node, json.loads(row.data)] for row in rows]
        yield {
            "tenant": tenant,
            "run_id": run_id,
            "sequence": rows[0].sequence,
            "count": len(rows),
            "events": json.dumps(events, separators=(",", ":")),
            "schema_version": rows[0].schema_version,
        }
