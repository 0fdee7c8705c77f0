"""The way to the preprocess service goes on following its replicas, whatever following meets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection

from lepton_ai.errors import Unavailable
from lepton_ai.testing import eventually
from services.inference.preprocessing.streams import Pick, StreamedPreprocessing
from tests.unit.inference.parts import NO_TRACING


class Pool:
    """A pool without replicas; following it fails at first."""

    addresses: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.followed = 0

    def pick(self, exclude: Collection[str] = ()) -> Pick:
        raise Unavailable("There is none.")

    async def changed(self) -> AsyncIterator[object]:
        self.followed += 1
        if self.followed < 3:
            raise ValueError("poison")
        yield self.addresses


async def test_following_the_replicas_is_begun_again_when_it_fails() -> None:
    pool = Pool()
    preprocessing = StreamedPreprocessing(pool, NO_TRACING, max_items=1, max_bytes=1)
    await preprocessing.start()
    await eventually(lambda: pool.followed == 3, description="it is followed for the third time")
    await preprocessing.close()
