"""The reader's end of leased memory: opened by what its owner says of it, and read by copying."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from lepton_ai.mesh.leased_memory import layout
from lepton_ai.v1 import common_pb2, preprocess_pb2


class OpenedMemory:
    """Another process's memory, to read."""

    def __init__(self, memory: mmap.mmap) -> None:
        """Use `open`."""
        self._memory = memory
        self._view = memoryview(memory)
        self._table = self._view[layout.TABLE_OFFSET : layout.DATA_OFFSET].cast("Q")
        self._fence = threading.Lock()

    @classmethod
    def open(cls, offer: preprocess_pb2.MemoryOffer) -> OpenedMemory:
        """Open what is offered. Raises OSError where it can not be opened, or something else is found in its place: the
        owner may run on another host, in another container or as another user."""
        path = Path(f"/proc/{offer.pid}/fd/{offer.descriptor}")
        # Whatever has that number here, nothing else is opened: the mere opening of a pipe or a device does something.
        if not str(path.readlink()).startswith(f"/memfd:{layout.NAME} "):
            raise _not_there()
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            # what can shrink may end a process that reads it
            is_sealed = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
            fits = os.fstat(descriptor).st_size == offer.size_bytes > layout.DATA_OFFSET
            if not is_sealed or not fits:
                raise _not_there()
            memory = mmap.mmap(descriptor, offer.size_bytes, prot=mmap.PROT_READ)
        finally:
            os.close(descriptor)
        if memory[: layout.TOKEN_BYTES] != offer.token:
            memory.close()
            raise _not_there()
        return cls(memory)

    def copy(
        self, lease: preprocess_pb2.MemoryLease, regions: Sequence[common_pb2.SharedMemoryRegion]
    ) -> list[bytes] | None:
        """What lies in parts of a lease; None when the lease has ended, or there are no such parts."""
        parts = [(region.offset_bytes, region.offset_bytes + region.length_bytes) for region in regions]
        if lease.slot >= layout.SLOTS or any(end > len(self._memory) for _, end in parts):
            return None
        # Two passes through a lock, as between them no processor moves what it reads: it must look after it has copied.
        with self._fence:
            contents = [self._memory[begin:end] for begin, end in parts]
        with self._fence:
            is_valid = lease.number and self._table[lease.slot] == lease.number
        return contents if is_valid else None

    def close(self) -> None:
        """Unmap it."""
        self._table.release()
        self._view.release()
        self._memory.close()


def _not_there() -> OSError:
    return OSError(errno.ENOENT, "the memory that is offered is not to be found here")
