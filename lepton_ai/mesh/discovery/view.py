"""The last known state of watched keys: takes over changes at once, but doubts keys merely missing after an outage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from types import MappingProxyType

from lepton_ai.mesh.latest import Latest

_EMPTY: Mapping[str, bytes] = MappingProxyType({})


class View:
    """What a `Watch` shows. The watcher feeds it lists and events; readers follow `changes()`.

    It may begin with what an earlier process remembered, in case the store is away when this one starts.

    A store that comes back from an outage may have lost its data while every publisher lives on and is about to
    publish again. So keys that are missing from the first list after an outage are only doubted: they stay until the
    feeder calls `settle()`, which it does when publishers have had the time to come back.
    """

    def __init__(self, remembered: Mapping[str, bytes] = _EMPTY) -> None:
        self._latest: Latest[Mapping[str, bytes]] = Latest(MappingProxyType(dict(remembered)))
        self._doubtful: frozenset[str] = frozenset()

    @property
    def entries(self) -> Mapping[str, bytes]:
        return self._latest.value

    @property
    def doubtful(self) -> frozenset[str]:
        """Keys that the store no longer has and that are shown until `settle()`."""
        return self._doubtful

    def changes(self) -> AsyncIterator[Mapping[str, bytes]]:
        return self._latest.changes()

    def relist(self, listed: Mapping[str, bytes], *, after_outage: bool) -> None:
        """Take over a complete list. Missing keys are dropped at once, or doubted when there was an outage."""
        missing = self.entries.keys() - listed.keys()
        self._doubtful = frozenset(missing) if after_outage else self._doubtful & missing
        self._show({**{key: self.entries[key] for key in self._doubtful}, **listed})

    def apply(self, events: Iterable[tuple[str, bytes | None]]) -> None:
        """Take over changes in order; None as the value means that the key was deleted."""
        entries = dict(self.entries)
        heard: set[str] = set()
        for key, value in events:
            heard.add(key)
            if value is None:
                entries.pop(key, None)
            else:
                entries[key] = value
        self._doubtful -= heard
        self._show(entries)

    def settle(self) -> None:
        """Drop the doubtful keys: nobody has published them again in time."""
        kept = {key: value for key, value in self.entries.items() if key not in self._doubtful}
        self._doubtful = frozenset()
        self._show(kept)

    def close(self) -> None:
        self._latest.close()

    def _show(self, entries: dict[str, bytes]) -> None:
        self._latest.set(MappingProxyType(entries))
