"""The state store's fake: keys in memory, with outages on demand.

store = MemoryStore()
other_process = store.twin()      # a second connection to the same state
store.down()                      # get, list, put, delete raise Unavailable; watches stand still
store.up(wiped=True)              # back without its data; what is published is put again
store.expire(key)                 # the publisher of this key died
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from lepton_ai.errors import Unavailable
from lepton_ai.mesh.discovery.view import View

_NOTHING: Mapping[str, bytes] = {}


class MemoryStore:
    """A `StateStore` in memory: the same behaviour as `EtcdStore`, at once and without a network.

    Twins share the state and its outages, but each closes only what it published and watches itself.
    """

    def __init__(self) -> None:
        self._server = _Server()
        self._publications: set[_MemoryPublication] = set()
        self._watches: set[_MemoryWatch] = set()
        self._claims: set[_MemoryClaim] = set()

    def twin(self) -> MemoryStore:
        """Another process's connection to the same state."""
        twin = MemoryStore()
        twin._server = self._server
        return twin

    def down(self) -> None:
        """The store does not answer from now on."""
        self._server.is_up = False

    def up(self, *, wiped: bool = False) -> None:
        """The store answers again; `wiped`: all it held is lost, and published keys are put again."""
        self._server.is_up = True
        if wiped:
            self._server.data.clear()
        self._server.changed()

    def expire(self, key: str) -> None:
        """The lease of a published key ran out because its publisher is dead: it will not be put again."""
        self._server.published.pop(key, None)
        self._server.data.pop(key, None)
        self._server.changed()

    async def get(self, key: str) -> bytes | None:
        return self._server.answer().get(key)

    async def list(self, prefix: str) -> Mapping[str, bytes]:
        return _under(prefix, self._server.answer())

    async def put(self, key: str, value: bytes) -> None:
        self._server.answer()[key] = value
        self._server.changed()

    async def delete(self, key: str) -> None:
        self._server.answer().pop(key, None)
        self._server.changed()

    async def publish(self, key: str, value: bytes) -> _MemoryPublication:
        publication = _MemoryPublication(self._server, key)
        self._publications.add(publication)
        await publication.update(value)
        return publication

    def claim(self, key: str, value: bytes) -> _MemoryClaim:
        claim = _MemoryClaim(self._server, key, value)
        self._claims.add(claim)
        return claim

    async def watch(self, prefix: str, *, remembered: Mapping[str, bytes] = _NOTHING) -> _MemoryWatch:
        watch = _MemoryWatch(self._server, prefix, remembered)
        self._watches.add(watch)
        return watch

    async def close(self) -> None:
        for publication in self._publications:
            await publication.withdraw()
        for watch in self._watches:
            await watch.close()
        for claim in self._claims:
            claim.give_up()


class _Server:
    """The state that twins share."""

    def __init__(self) -> None:
        self.is_up = True
        self.data: dict[str, bytes] = {}
        self.published: dict[str, tuple[_MemoryPublication, bytes]] = {}
        self.watches: set[_MemoryWatch] = set()

    def answer(self) -> dict[str, bytes]:
        if not self.is_up:
            raise Unavailable(
                "The state store does not answer; what is running goes on, but nothing can be changed.",
                reason="STATE_STORE_UNAVAILABLE",
                fix="Bring the store back and try again.",
            )
        return self.data

    def changed(self) -> None:
        if not self.is_up:
            return
        self.data.update({key: value for key, (_, value) in self.published.items()})
        for watch in self.watches:
            watch.refresh(self.data)


class _MemoryPublication:
    def __init__(self, server: _Server, key: str) -> None:
        self._server = server
        self._key = key
        self._withdrawn = False

    async def update(self, value: bytes) -> None:
        if not self._withdrawn:
            self._server.published[self._key] = (self, value)
            self._server.changed()

    async def withdraw(self) -> None:
        self._withdrawn = True
        publisher, _ = self._server.published.get(self._key, (None, b""))
        if publisher is self:
            # Also while the store is down: that stands for the lease running out meanwhile.
            self._server.published.pop(self._key)
            self._server.data.pop(self._key, None)
            self._server.changed()


class _MemoryClaim:
    """Held until it is given up, or its key is expired."""

    def __init__(self, server: _Server, key: str, value: bytes) -> None:
        self._server = server
        self._key = key
        self._value = value

    async def hold(self) -> bool:
        data = self._server.answer()
        if self._key not in data:
            data[self._key] = self._value
            self._server.changed()
        return data[self._key] == self._value

    def give_up(self) -> None:
        if self._server.data.get(self._key) == self._value:
            self._server.data.pop(self._key)
            self._server.changed()


class _MemoryWatch:
    def __init__(self, server: _Server, prefix: str, remembered: Mapping[str, bytes]) -> None:
        self._server = server
        self._prefix = prefix
        self._view = View(remembered)
        self._closed = False
        server.watches.add(self)
        if server.is_up:
            self.refresh(server.data)

    @property
    def entries(self) -> Mapping[str, bytes]:
        return self._view.entries

    @property
    def connected(self) -> bool:
        return self._server.is_up and not self._closed

    def changes(self) -> AsyncIterator[Mapping[str, bytes]]:
        return self._view.changes()

    def refresh(self, data: Mapping[str, bytes]) -> None:
        self._view.relist(_under(self._prefix, data), after_outage=False)

    async def close(self) -> None:
        self._closed = True
        self._server.watches.discard(self)
        self._view.close()


def _under(prefix: str, data: Mapping[str, bytes]) -> dict[str, bytes]:
    return {key: value for key, value in data.items() if key.startswith(prefix)}
