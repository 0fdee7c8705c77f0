"""A version of a model that Triton has loaded: its inputs and outputs, and how many requests use it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from lepton_ai.package.description import Caching, KeptInputs
from lepton_ai.v1 import preprocess_pb2
from services.inference.locks import Lock
from services.inference.statistics import VersionStatistics

if TYPE_CHECKING:
    from lepton_ai.inputs.profile import Profile
    from lepton_ai.postprocessing import Postprocess


class VersionKey(NamedTuple):
    """A version of a model, or a variant of one."""

    model: str
    version: int
    variant: str = ""
    """Empty: the version itself."""


class TensorDescription(Protocol):
    """One input or output tensor; the first dimension is the batch (-1)."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> Sequence[int]: ...


class ModelDescription(Protocol):
    """What routing and serving need of a package's description; `lepton_ai.package` makes the real one."""

    @property
    def name(self) -> str: ...
    @property
    def inputs(self) -> Sequence[TensorDescription]: ...
    @property
    def outputs(self) -> Sequence[TensorDescription]: ...
    @property
    def max_batch_size(self) -> int: ...


class _Hold:
    """The block of `in_use`. One for all: it only counts, and a generator for each would cost a call microseconds."""

    def __init__(self, loaded: LoadedVersion) -> None:
        self._loaded = loaded

    def __enter__(self) -> None:
        self._loaded.enter()

    def __exit__(self, *exception: object) -> None:
        self._loaded.leave()


@dataclass(eq=False)
class LoadedVersion:
    """A version that Triton has loaded. Lives as long as the version is wanted, reloads after a crash included.

    Compared by identity, so it may key the data plane's own state (queues, statistics).
    """

    model: str
    version: int
    triton_name: str
    description: ModelDescription
    max_batch_size: int
    instances: int
    unbatched: frozenset[str] = frozenset()
    """Names of outputs that the model gives without the batch dimension; then `max_batch_size` is 1."""
    wide_threads: int = 1
    """Threads that a batch may have that is alone on the machine; 1 when the model has no copy for that."""
    runs_items: bool = False
    """Whether its pipeline runs beside it in Triton, too, so that it takes raw items."""
    pipeline_proto: preprocess_pb2.Pipeline | None = None
    postprocess: Postprocess | None = None
    digest: str = ""
    """Of its package: another package under the same version number is another version."""
    variant: str = ""
    """Which variant of the version this is; empty: the version itself."""
    caching: Caching = field(default_factory=Caching)
    """What may be kept of its answers."""
    feedback: KeptInputs = field(default_factory=KeptInputs)
    """Which of its inputs are kept for training."""
    input_kinds: Mapping[str, str] = field(default_factory=dict)
    """Kind of each input by name ("image", "text", …), "tensor" for ready ones."""
    profile: Profile | None = None
    """Of the training data: what its inputs are compared with."""
    on_failure: Callable[[BaseException], None] | None = None
    """Called with errors that may mean a dead process; set by the code that heals the version. See `report_failure`."""
    last_success_s: float = field(default=float("-inf"))
    """Monotonic time of the last good answer: the data plane calls `succeeded()`, and no probe is needed then."""
    statistics: VersionStatistics = field(default_factory=VersionStatistics, init=False)
    _lease: Lock | None = field(default=None, init=False)
    _users: int = field(default=0, init=False)
    _idle: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        self._hold = _Hold(self)
        self._idle.set()

    @property
    def key(self) -> VersionKey:
        """Its name."""
        return VersionKey(self.model, self.version, self.variant)

    @property
    def leased(self) -> bool:
        """Whether no other worker can unload it."""
        return self._lease is not None

    def use(self, triton_name: str, lease: Lock) -> None:
        """Be what Triton has under this name from now on; until `let_go`, `lease` keeps others from unloading it."""
        self.let_go()
        self.triton_name, self._lease = triton_name, lease

    def let_go(self) -> None:
        """Allow others to unload it."""
        if self._lease is not None:
            self._lease.release()
            self._lease = None

    def in_use(self) -> AbstractContextManager[None]:
        """Hold the version while a request works with it: it is unloaded only when nobody holds it."""
        return self._hold

    def enter(self) -> None:
        """One more request holds the version; use `in_use`."""
        self._users += 1
        self._idle.clear()

    def leave(self) -> None:
        """One less."""
        self._users -= 1
        if self._users == 0:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until no request holds the version."""
        await self._idle.wait()

    def succeeded(self) -> None:
        """Note a good answer of Triton's; cheap, called for every batch."""
        self.last_success_s = time.monotonic()

    def report_failure(self, error: BaseException) -> None:
        """Pass on an error of the data plane that `smells_dead` recognises, so that the version is probed at once."""
        if self.on_failure is not None:
            self.on_failure(error)
