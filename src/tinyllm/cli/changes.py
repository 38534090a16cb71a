"""What a person may decide about a network's versions, for whoever asks by another way than the command line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tinyllm.errors import NotFound, RequestError
from tinyllm.graph import Graph
from tinyllm.protocols import Store, Version


@dataclass(frozen=True, slots=True)
class Changes:
    """Decisions on the networks whose files `read` reads, by name."""

    store: Store
    read: Mapping[str, Callable[[], Graph]]

    async def roll_back(self, network: str, to: int | str, reason: str, *, tenant: str) -> Version:
        """The version that makes an earlier one answer again; `to` is its revision, or the id of its graph.

        Raises NotFound, RequestError where it is no way back, Conflict where the network changed meanwhile.
        """
        from tinyllm.learning.versions import earlier, head_of, roll_back

        head = await head_of(self.store, self._base(network), tenant=tenant)
        return await roll_back(self.store, head, reason, tenant, to=earlier(head, to))

    async def promote(self, network: str, reason: str, *, tenant: str) -> Version:
        """The version that lets the one on its way up answer all conversations, without waiting for grades.

        Raises NotFound, RequestError where none is on its way up, Conflict where the network changed meanwhile.
        """
        from tinyllm.learning.versions import head_of, roll_out

        head = await head_of(self.store, self._base(network), tenant=tenant)
        if head.rising is None:
            raise RequestError(
                f"no version of network {network!r} is on its way up", hint="look at its versions"
            )
        return await roll_out(self.store, head, 1.0, reason, {}, tenant)

    def _base(self, network: str) -> Graph:
        if network not in self.read:
            raise NotFound(f"there is no network {network!r}", hint=f"there is {', '.join(self.read)}")
        return self.read[network]()
