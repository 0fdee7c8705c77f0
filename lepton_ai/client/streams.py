"""Streams of examples: calls side by side, answers in order, and never more in memory than is under way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Sequence,
)
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from lepton_ai.client.batches import CALLS_AT_ONCE, ROWS_A_CALL, Batch, Given, by_itself
from lepton_ai.client.model_inputs import many_examples
from lepton_ai.prediction import Answer, Prediction

AnswerEach = Callable[[Sequence[Given]], Awaitable[Answer]]
"""One call, whose failure is that of its examples."""


async def predictions_of(examples: Any, answer: AnswerEach) -> AsyncGenerator[Prediction]:
    """The predictions for examples of an iterable, also an asynchronous one, in order.

    While a call may be made, all examples that are there go with it: those that come one by one are answered at once,
    and many quickly. An error of the iterable is raised after the answers to what came before it.
    """
    under_way: deque[asyncio.Task[Answer]] = deque()
    source = _Source(examples if isinstance(examples, AsyncIterable) else many_examples(examples))
    try:
        while under_way or not source.has_ended:
            if source.batch.examples and len(under_way) < CALLS_AT_ONCE:
                under_way.append(asyncio.ensure_future(answer(source.take())))
            elif under_way and under_way[0].done():
                for prediction in under_way.popleft().result().predictions:
                    yield by_itself(prediction)
            else:
                await source.wait(under_way)
        source.raise_fault()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(source.close(), *under_way, return_exceptions=True)


class _Source:
    """Reads an iterable into the next call's batch, and waits while that is full."""

    def __init__(self, examples: Iterable[Given] | AsyncIterable[Given]) -> None:
        self.batch = Batch()
        self._changed, self._room = asyncio.Event(), asyncio.Event()
        self._reader = asyncio.ensure_future(self._read(examples))

    @property
    def has_ended(self) -> bool:
        """Whether everything was taken."""
        return self._reader.done() and not self.batch.examples

    def take(self) -> Sequence[Given]:
        """What there is."""
        self._room.set()
        return self.batch.take()

    async def wait(self, calls: Iterable[asyncio.Task[Answer]]) -> None:
        """Until there are more examples, or none any more, or a call is over."""
        self._changed.clear()
        changed = asyncio.ensure_future(self._changed.wait())
        reader = () if self._reader.done() else (self._reader,)
        try:
            await asyncio.wait({changed, *reader, *list(calls)[:1]}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()

    def raise_fault(self) -> None:
        """Raise what the iterable raised."""
        self._reader.result()

    async def close(self) -> None:
        """Read no more."""
        self._reader.cancel()
        await asyncio.wait([self._reader])

    async def _read(self, examples: Iterable[Given] | AsyncIterable[Given]) -> None:
        async for example in _each(examples):
            self.batch.add(example)
            self._changed.set()
            while self.batch.is_full(ROWS_A_CALL):
                self._room.clear()
                await self._room.wait()


def answers_of(examples: Any, answer: Callable[[Sequence[Given]], Answer]) -> Generator[Answer]:
    """The same for code that blocks: the answers to the calls one after the other, which are made in threads."""
    under_way: deque[Future[Answer]] = deque()
    faults: list[Exception] = []
    source = many_examples(examples)
    threads = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="lepton-stream")
    try:
        for batch in _batches(source, _rows_a_call(source, under_way), faults):
            while len(under_way) >= CALLS_AT_ONCE or (under_way and under_way[0].done()):
                yield under_way.popleft().result()
            under_way.append(threads.submit(answer, batch))
        while under_way:
            yield under_way.popleft().result()
        if faults:
            raise faults[0]
    finally:
        threads.shutdown(cancel_futures=True)


def _rows_a_call(source: Any, under_way: Iterable[Future[Answer]]) -> Callable[[], int]:
    """How many examples the next call takes: one where nothing is under way, so that it is answered at once."""
    is_there = isinstance(source, Sequence)
    return lambda: ROWS_A_CALL if is_there or not all(call.done() for call in under_way) else 1


def _batches(examples: Iterable[Given], rows: Callable[[], int], faults: list[Exception]) -> Generator[list[Given]]:
    """Examples in lists. An error of the iterable ends it and goes to `faults`."""
    batch = Batch()
    try:
        for example in examples:
            batch.add(example)
            if batch.is_full(rows()):
                yield batch.take()
    except Exception as error:  # noqa: BLE001 - of the caller's iterable, raised when its turn comes
        faults.append(error)
    if batch.examples:
        yield batch.take()


async def _each(examples: Iterable[Given] | AsyncIterable[Given]) -> AsyncIterator[Given]:
    if isinstance(examples, AsyncIterable):
        async for example in examples:
            yield example
    else:
        for example in examples:
            yield example
