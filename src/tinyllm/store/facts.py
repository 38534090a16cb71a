"""What users told the network to remember: the statements in SQL.

Every function works within a transaction of its caller's. Knows nothing about how facts are used.
"""

from collections.abc import Sequence

from tinyllm.protocols import Fact
from tinyllm.store import rows
from tinyllm.store.writer import Cursor

FACTS = "SELECT fact_id, tenant, user_id, text, created FROM facts"  # the fields of Fact
_OF_USER = f"{FACTS} WHERE tenant = ? AND user_id = ? ORDER BY number"
_ADD = "INSERT INTO facts (fact_id, tenant, user_id, text, created) VALUES (?, ?, ?, ?, ?)"
_OWN = "tenant = ? AND user_id = ? AND fact_id = ?"
_EDIT = f"UPDATE facts SET text = ? WHERE {_OWN}"
_FORGET = f"DELETE FROM facts WHERE {_OWN}"


def remember(fact: Fact, cursor: Cursor) -> Fact:
    """Add the fact, or find the one that says the same. Raises RequestError where the user has too many."""
    known = of_user(fact.tenant, fact.user, cursor)
    same = rows.same_fact(known, fact)
    if same is None:
        cursor.execute(_ADD, (fact.id, fact.tenant, fact.user, fact.text, fact.created))
    return same or fact


def edit(tenant: str, user: str, fact_id: str, text: str, cursor: Cursor) -> Fact:
    """Put another text in a fact's place. Raises NotFound."""
    cursor.execute(_EDIT, (text, tenant, user, fact_id))
    cursor.execute(f"{FACTS} WHERE {_OWN}", (tenant, user, fact_id))
    found = cursor.fetchall()
    if not found:
        raise rows.unknown("fact", fact_id)
    return Fact(*found[0])


def forget(tenant: str, user: str, fact_id: str, cursor: Cursor) -> None:
    """Delete a fact. Raises NotFound."""
    cursor.execute(_FORGET, (tenant, user, fact_id))
    if cursor.rowcount == 0:
        raise rows.unknown("fact", fact_id)


def of_user(tenant: str, user: str, cursor: Cursor) -> Sequence[Fact]:
    """The facts of a user, oldest first."""
    cursor.execute(_OF_USER, (tenant, user))
    return [Fact(*row) for row in cursor.fetchall()]
