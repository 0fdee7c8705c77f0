"""The one way in which the registry says that its disk is full."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lepton_ai.disk import is_full
from lepton_ai.errors import ResourceExhausted

DISK_FULL = "DISK_FULL"
"""The reason of the refusal."""


def disk_full() -> ResourceExhausted:
    """The refusal of a change for which there is no room."""
    return ResourceExhausted(
        "The registry's disk is full; nothing was changed.", reason=DISK_FULL, fix="Make room, then try again."
    )


@asynccontextmanager
async def disk_errors() -> AsyncIterator[None]:
    """Turns a full disk, met in the block, into that refusal; other errors pass."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise disk_full() from error
