"""One function over many things, results in order: in this process, in threads, or through Ray Data."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, TypeVar

from lepton_ai.errors import InvalidInput

T = TypeVar("T")
R = TypeVar("R")

Engine = Literal["ray"]


def in_order(
    function: Callable[[T], R], things: Iterable[T], *, engine: Engine | None = None, workers: int | None = None
) -> Iterator[R]:
    """`map(function, things)`; with `workers` in threads, of which few results wait; with "ray" in its processes."""
    if engine not in (None, "ray"):
        raise InvalidInput.of_field("engine", f"{engine!r} is unknown", fix='Use engine="ray", or leave it out.')
    if workers is not None and workers < 1:
        raise InvalidInput.of_field("workers", f"{workers} is not a number of workers", fix="Use 1 or more.")
    if engine == "ray":
        from lepton_ai.datasets.ray_engine import ray_in_order

        return ray_in_order(function, things, workers=workers)
    if workers is None or workers == 1:
        return map(function, things)
    return _threads(function, things, workers)


def _threads(function: Callable[[T], R], things: Iterable[T], workers: int) -> Iterator[R]:
    with ThreadPoolExecutor(workers, thread_name_prefix="lepton-data") as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for thing in things:
                waiting.append(pool.submit(function, thing))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
