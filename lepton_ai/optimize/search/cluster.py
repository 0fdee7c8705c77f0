"""Trials on the machines of a Ray cluster: each has one at a time, so that no measurement disturbs another."""

from __future__ import annotations

import logging
import queue
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path
from typing import Any

from lepton_ai.errors import FailedPrecondition, Unavailable
from lepton_ai.installed import need
from lepton_ai.optimize.candidate import Candidate
from lepton_ai.optimize.measure.cpu import Cpu, this_cpu
from lepton_ai.optimize.search.process import work
from lepton_ai.optimize.search.task import Folder

_ASKING_S = 60.0
"""How long a machine may take to say what processor it has."""
_GRACE_S = 60.0
"""How long a machine may take beyond the time of a part, to send files and answers."""


class Machines(AbstractContextManager["Machines"]):
    """Those of a cluster whose processor is this machine's: what is measured there holds here, too.

    They need Lepton in the same release, and get the search's rows and packages from here.
    """

    def __init__(self, address: str, cpu: Cpu) -> None:
        """`address`: HOST:PORT, ray://HOST:PORT, or "auto" for the cluster that this machine is in.

        Raises FailedPrecondition where Ray is not installed or no machine has the processor, Unavailable where the
        cluster does not answer.
        """
        need("ray", "Trying candidates on other machines")
        import ray

        self._ray: Any = ray
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            _connect(ray, address)
        machines = self._alike(cpu)
        self.count = self._left = len(machines)
        """How many candidates can be tried at once."""
        self._idle: queue.SimpleQueue[str] = queue.SimpleQueue()
        for machine in machines:
            self._idle.put(machine)
        self._base: Any = None
        self._lock = threading.Lock()

    def __exit__(self, *exception: object) -> None:
        if self._is_ours:
            self._ray.shutdown()

    def work(self, folder: Folder, part: str, candidate: Candidate, timeout_s: float) -> dict[str, Any]:
        """Do a part of a trial on the next machine that is idle; see `process.work`. What it wrote is put in `folder`.

        A machine that is lost is not asked again. Raises Unavailable when that was the last.
        """
        own = _pack(folder.path, [*_results(folder, candidate), *_of(folder.answers)])
        while True:
            machine = self._idle.get()
            if not machine:
                self._idle.put(machine)  # for the next who waits
                fix = "Start the same search again: it goes on where it was."
                raise Unavailable("No machine of the Ray cluster is left.", fix=fix)
            try:
                given = self._on(machine, _do_part).remote(self._shared(folder), own, part, candidate, timeout_s)
                answer, written = self._ray.get(given, timeout=timeout_s + _GRACE_S)
            except self._ray.exceptions.GetTimeoutError:
                self._idle.put(machine)
                return {"failed": "took longer than the time that was left"}
            except self._ray.exceptions.RayError as error:
                self._lose(machine, error)
                continue
            self._idle.put(machine)
            _unpack(written, folder.path)
            return dict(answer)

    def _lose(self, machine: str, error: Exception) -> None:
        logging.getLogger(__name__).warning("machine %s is lost: %s", machine[:8], type(error).__name__)
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._idle.put("")

    def _alike(self, cpu: Cpu) -> list[str]:
        """Ids of the machines with this processor."""
        alive = [each["NodeID"] for each in self._ray.nodes() if each["Alive"]]
        asked = {machine: self._on(machine, _its_cpu).remote() for machine in alive}
        told = {machine: self._ray.get(answer, timeout=_ASKING_S) for machine, answer in asked.items()}
        found = [machine for machine, its in told.items() if (its.model, its.flags) == (cpu.model, cpu.flags)]
        if not found:
            others = ", ".join(sorted({its.model for its in told.values()}))
            raise FailedPrecondition(
                f"No machine of the Ray cluster has this machine's processor ({cpu.model}), they have {others}.",
                reason="OTHER_CPU",
                fix="Search on such a machine: what is measured holds for the processor that it is measured on.",
            )
        return found

    def _on(self, machine: str, call: Callable[..., Any]) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        strategy = NodeAffinitySchedulingStrategy(machine, soft=False)
        return self._ray.remote(call).options(num_cpus=0, max_retries=0, scheduling_strategy=strategy)

    def _shared(self, folder: Folder) -> Any:
        """What all parts read, sent to each machine once."""
        with self._lock:
            if self._base is None:
                self._base = self._ray.put(_pack(folder.path, folder.inputs()))
            return self._base


def _connect(ray: Any, address: str) -> None:
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise Unavailable(
            f"No Ray cluster answers at {address}.", fix="Start one: ray start --head; then --ray auto."
        ) from error


def _its_cpu() -> Cpu:
    return this_cpu()


def _do_part(
    base: bytes, own: bytes, part: str, candidate: Candidate, timeout_s: float
) -> tuple[dict[str, Any], bytes]:
    """On the machine: what the part answers, and the files that it wrote."""
    with tempfile.TemporaryDirectory(prefix="lepton-ray-") as place:
        folder = Folder(Path(place))
        for content in (base, own):
            _unpack(content, folder.path)
        answer = work(folder, part, candidate, timeout_s)
        written = _results(folder, candidate) if candidate.steps else _of(folder.answers)
        return answer, _pack(folder.path, written if part == "make" or not candidate.steps else [])


def _results(folder: Folder, candidate: Candidate) -> list[Path]:
    return _of(folder.variant(candidate.name)) if candidate.steps else []


def _of(path: Path) -> list[Path]:
    return [path] if path.exists() else []


def _pack(root: Path, paths: Iterable[Path]) -> bytes:
    content = BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path in paths:
            archive.add(path, arcname=str(path.relative_to(root)))
    return content.getvalue()


def _unpack(content: bytes, root: Path) -> None:
    with tarfile.open(fileobj=BytesIO(content)) as archive:
        archive.extractall(root, filter="data")
