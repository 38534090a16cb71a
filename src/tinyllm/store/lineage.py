"""Versions of networks, the trials behind them and the model files that they use: the statements in SQL.

Every function works within a transaction of its caller's. Knows nothing about what a graph or a trial means.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

from tinyllm.protocols import TrialRow, Version
from tinyllm.store import rows
from tinyllm.store.writer import Cursor

# Columns in the order of the fields of Version and TrialRow.
_VERSION = "network, revision, graph, edit, reason, changes, trial, created, share, evidence"
_TRIAL = "trial_id, network, edit, node, reason, state, verdict, number, evidence, created"

VERSIONS = f"SELECT tenant, {_VERSION} FROM versions"
TRIALS = f"SELECT tenant, {_TRIAL} FROM trials"
_NEWEST = "SELECT max(revision) FROM versions WHERE tenant = ? AND network = ?"
_ADD_VERSION = f"INSERT INTO versions (tenant, {_VERSION}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ADD_FILE = """
INSERT INTO files (tenant, sha256, content, created) VALUES (?, ?, ?, ?)
ON CONFLICT (tenant, sha256) DO NOTHING"""
_NUMBERED = "SELECT trial_id FROM trials WHERE tenant = ? AND network = ? AND number = ? AND trial_id <> ?"
_PUT_TRIAL = f"""
INSERT INTO trials (tenant, {_TRIAL}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, trial_id) DO UPDATE SET
    network = excluded.network, edit = excluded.edit, node = excluded.node, reason = excluded.reason,
    state = excluded.state, verdict = excluded.verdict, number = excluded.number, evidence = excluded.evidence"""


def promote(
    tenant: str,
    version: Version,
    expected: int,
    trial: TrialRow | None,
    files: Mapping[str, bytes],
    cursor: Cursor,
) -> None:
    """Add the version after `expected`, with its trial and files. Raises Conflict where that is not the newest."""
    cursor.execute(_NEWEST, (tenant, version.network))
    (newest,) = cursor.fetchone()
    rows.check_newest(version.network, newest, expected)
    if trial is not None:
        put_trial(tenant, trial, cursor)
    *known, changes, proof, created, share, evidence = astuple(version)
    values = (tenant, *known, json.dumps(changes), proof, created, share, json.dumps(evidence))
    cursor.execute(_ADD_VERSION, values)
    cursor.executemany(_ADD_FILE, [(tenant, sha256, data, created) for sha256, data in files.items()])


def put_trial(tenant: str, trial: TrialRow, cursor: Cursor) -> None:
    """Keep the trial as it stands now. Raises Conflict where its number is another's."""
    cursor.execute(f"{TRIALS} WHERE tenant = ? AND trial_id = ?", (tenant, trial.id))
    found = cursor.fetchall()
    kept = rows.latest_trial(trial_of(found[0]) if found else None, trial)
    cursor.execute(_NUMBERED, (tenant, kept.network, kept.number, kept.id))
    if cursor.fetchall():
        raise rows.taken(kept)
    *known, evidence, created = astuple(kept)
    cursor.execute(_PUT_TRIAL, (tenant, *known, json.dumps(evidence), created))


def version_of(row: Sequence[Any]) -> Version:
    """The version in a row of VERSIONS."""
    _, *known, changes, trial, created, share, evidence = row
    return Version(*(*known, json.loads(changes), trial, created, share, json.loads(evidence)))


def trial_of(row: Sequence[Any]) -> TrialRow:
    """The trial in a row of TRIALS."""
    _, *known, evidence, created = row
    return TrialRow(*(*known, json.loads(evidence), created))
