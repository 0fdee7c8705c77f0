"""Mends three faults of the Triton in the nvidia-pytriton wheel.

Tensors can be read by every user of the machine. What the Python backend and its stubs hand to one another lies in
shared memory that Boost makes with mode 0644, by fchmod, so that no umask keeps others out. Mended, both call fsync in
fchmod's place, which does nothing to memory: the mode is then what the umask leaves.

The other two are the server's and only show when requests are traced.

A traceparent is lost. `GrpcServerCarrier::Get` in Triton's src/grpc/infer_handler.h hands on a metadata value as a C
string, but gRPC ends values with no NUL: when the byte behind a traceparent happens not to be zero, it is taken for
part of the value, the value is refused as too long, and the request is not traced. Of many requests that was one in
four, and no client or option can prevent it. Mended, it takes the length that gRPC keeps beside the value.

Triton dies. `TraceManager::TraceRelease` in src/tracer.cc unlocks a mutex after it has freed the object that holds it,
which spoils the heap: under load, Triton died within seconds or minutes. Mended, it unlocks first, as Triton does since
version 2.57 (https://github.com/triton-inference-server/server/pull/8144).
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

_FAULTY_SHA256 = "01f1d4a777fea48f8e62a3df0403bcbd858c7a0be203e032a795032555f3e3f4"
"""tritonserver 2.51.0 for x86-64 from nvidia-pytriton 0.7.0, the one build whose machine code is known here."""

_CARRIER_GET: Mapping[int, str] = {
    0x1F5DC5: "48 8b 41 38"  # mov 0x38(%rcx),%rax: the value's length, in place of a call of strlen
    "0f 1f 40 00",  # nopl
}
_TRACE_RELEASE: Mapping[int, str] = {
    # The message about an InferenceTraceId that fails, which it never does, makes room at 0x318653.
    0x31864D: "e9 dc 00 00 00"  # jmp 0x31872e
    "90",  # nop
    0x318653: "48 8b 3c 24"  # mov (%rsp),%rdi: the mutex
    "e8 c4 b7 d9 ff"  # call pthread_mutex_unlock
    "31 c0"  # xor %eax,%eax
    "48 8d 7c 24 20"  # lea 0x20(%rsp),%rdi: for the unlocking at the end, a mutex of zeros in its place
    "48 89 07"  # mov %rax,(%rdi)
    "48 89 47 08"  # mov %rax,0x8(%rdi)
    "48 89 47 10"  # mov %rax,0x10(%rdi)
    "48 89 3c 24"  # mov %rdi,(%rsp)
    "49 8b 7c 24 08"  # mov 0x8(%r12),%rdi: what stood at 0x3187e8
    "e9 71 01 00 00",  # jmp 0x3187ed: free the object
    0x3187E8: "e9 66 fe ff ff",  # jmp 0x318653
}


_REPAIR: Mapping[int, bytes] = {
    position: bytes.fromhex(text) for position, text in {**_CARRIER_GET, **_TRACE_RELEASE}.items()
}
_WIDENS, _DOES_NOTHING = b"\0fchmod\0", b"\0fsync\0\0"
"""Names of imported functions, as they stand among a library's strings; (int, unsigned) and (int)."""
REPAIR_DIGEST = hashlib.sha256(repr((_REPAIR, _WIDENS, _DOES_NOTHING)).encode()).hexdigest()
"""Changes when the repair does: copies made with another digest are outdated."""


def needs_repair(binary: Path) -> bool:
    """Whether this is the build that is mended here; of any other nothing is known."""
    with binary.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == _FAULTY_SHA256


def copy_repaired(binary: Path, target: Path) -> None:
    """Copy a tritonserver, mended if it is the build known to need it, and as it is otherwise."""
    shutil.copy(binary, target)
    if not needs_repair(binary):
        return
    with target.open("r+b") as file:
        for position, instructions in _REPAIR.items():
            file.seek(position)
            file.write(instructions)


def copy_with_private_memory(binary: Path, target: Path) -> None:
    """Copy a part of the Python backend, mended where it imports fchmod, and as it is otherwise."""
    content = binary.read_bytes()
    # More than one would not be the name of an import alone.
    target.write_bytes(content.replace(_WIDENS, _DOES_NOTHING) if content.count(_WIDENS) == 1 else content)
