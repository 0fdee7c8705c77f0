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

    Of an iterable without length, calls grow while they have to wait for earlier ones: a few examples are answered at
    once, and many quickly. An error of the iterable is raised after the answers to what came before it.
    """
    under_way: deque[asyncio.Task[Answer]] = deque()
    faults: list[Exception] = []
    source = examples if isinstance(examples, AsyncIterable) else many_examples(examples)
    batches = _async_batches(source, _rows_a_call(source, under_way), faults)
    reading: asyncio.Task[Sequence[Given]] | None = _read(batches)
    try:
        while reading is not None or under_way:
            if under_way and (reading is None or len(under_way) >= CALLS_AT_ONCE or under_way[0].done()):
                for prediction in (await under_way.popleft()).predictions:
                    yield by_itself(prediction)
                continue
            assert reading is not None  # noqa: S101 - else a call is under way
            await asyncio.wait({reading, *list(under_way)[:1]}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                batch = reading.result()
                reading = _read(batches) if batch else None
                if batch:
                    under_way.append(asyncio.ensure_future(answer(batch)))
        if faults:
            raise faults[0]
    finally:
        tasks = [*under_way, *([reading] if reading is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await batches.aclose()


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


def _rows_a_call(source: Any, under_way: Sequence[Any]) -> Callable[[], int]:
    """How many examples the next call takes, as many calls being under way as there are now."""
    is_there = isinstance(source, Sequence)
    return lambda: ROWS_A_CALL if is_there or len(under_way) >= CALLS_AT_ONCE else 1


def _read(batches: AsyncGenerator[list[Given]]) -> asyncio.Task[Sequence[Given]]:
    """The next examples; none at the end."""

    async def read() -> Sequence[Given]:
        try:
            return await anext(batches)
        except StopAsyncIteration:
            return ()

    return asyncio.ensure_future(read())


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


async def _async_batches(
    examples: Iterable[Given] | AsyncIterable[Given], rows: Callable[[], int], faults: list[Exception]
) -> AsyncGenerator[list[Given]]:
    batch = Batch()
    try:
        async for example in _each(examples):
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
