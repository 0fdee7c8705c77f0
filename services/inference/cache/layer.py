"""The layer around a call that answers from the cache: row by row, so that only what is not known is computed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from opentelemetry import trace

from lepton_ai.errors import FieldViolation, LeptonError
from services.inference.cache.curve import SAMPLE
from services.inference.cache.entries import Entry
from services.inference.cache.flights import Flight
from services.inference.cache.partition import Partition, Source
from services.inference.cache.results import Row, make_result
from services.inference.cache.tensors import Tensors, keeping
from services.inference.cache.units import MAX_ROWS, Units, units_of
from services.inference.call import Call
from services.inference.predict.layers import Proceed, RoutedCall
from services.inference.predict.request import Inputs
from services.inference.predict.result import InferenceResult, Outcome
from services.inference.rows import split
from services.inference.version import LoadedVersion

_WHERE = "lepton.cache"


@dataclass(frozen=True, slots=True)
class Kept:
    """What may be kept of a version that serves."""

    answers: Partition[Entry] | None = None
    tensors: Tensors | None = None


class CacheLayer:
    """Looks rows up before they are computed; what several calls want at the same time is computed once."""

    def __init__(self, kept: Callable[[LoadedVersion], Kept | None], *, max_rows: int = MAX_ROWS) -> None:
        """`kept` gives what may be kept of a version; None for one that keeps nothing or does not serve. Calls with
        more than `max_rows` rows are not looked up."""
        self._kept = kept
        self._max_rows = min(max_rows, MAX_ROWS)

    async def __call__(self, proceed: Proceed, routed: RoutedCall) -> InferenceResult:
        """Answer a call, with the inner layers as far as needed. Raises what they raise."""
        kept = self._kept(routed.resolved.loaded) if routed.request.may_cache else None
        if kept is None:
            _tell(routed.call, "off")
            return await proceed(routed)
        inner = proceed if kept.tensors is None else _within(proceed, kept.tensors)
        answers = kept.answers
        seed = None if answers is None else answers.seed(routed.call.tenant)
        if answers is None or seed is None:
            _tell(routed.call, "off")
            return await inner(routed)
        inputs = routed.request.read(routed.runtime)
        units = units_of(inputs, routed.runtime, max_rows=self._max_rows)
        if units is None or not answers.on:
            _overhear(answers, seed, units)
            _tell(routed.call, "off")
            return await inner(_reading(routed, inputs))
        rows = await _Lookup(answers, inner, routed, units).rows(seed, inputs.field)
        _tell_rows(routed.call, rows)
        return make_result(routed, units, rows, answers)


class _Lookup:
    """One call's way through the cache."""

    def __init__(self, answers: Partition[Entry], proceed: Proceed, routed: RoutedCall, units: Units) -> None:
        self._answers = answers
        self._proceed = proceed
        self._routed = routed
        self._units = units

    async def rows(self, seed: bytes, field: str) -> Sequence[Row]:
        """What became of every row. Raises what a computation as a whole failed with."""
        answers = self._answers
        began_s = time.perf_counter()
        keys = self._units.keys(seed)
        found = [answers.find(key) for key in keys]
        answers.took(time.perf_counter() - began_s, len(keys))
        if None not in found:
            return [Row(key, entry, Source.LOCAL) for key, entry in zip(keys, found, strict=True)]
        wanted = {key: index for index, key in reversed(list(enumerate(keys))) if found[index] is None}
        landed = await self._landed(wanted)
        rows = []
        for index, (key, entry) in enumerate(zip(keys, found, strict=True)):
            if entry is not None:
                rows.append(Row(key, entry, Source.LOCAL))
                continue
            row = landed[key] if wanted[key] == index else replace(landed[key], source=Source.JOINED)
            if row.error is not None:
                row = replace(row, error=_located(row.error, f"{field}[{index}]"))
            else:
                answers.note(row.source)
            rows.append(row)
        return rows

    async def _landed(self, wanted: Mapping[bytes, int]) -> Mapping[bytes, Row]:
        """The rows of these keys: of flights that are under way, and one flight for all others."""
        call, flights = self._routed.call, self._answers.flights
        boarded: dict[bytes, Flight[Row]] = {}
        for key in wanted:
            flight = flights.find(key, call)
            if flight is not None:
                boarded[key] = flight
        joined = frozenset(boarded)
        if len(joined) < len(wanted):
            own = [key for key in wanted if key not in joined]
            flight = flights.begin(own, call, lambda call: self._compute(own, wanted, call))
            boarded |= dict.fromkeys(own, flight)
        for flight in boarded.values():
            flight.board(call)
        try:
            async with call.bounded():
                landed = {key: await flight.land(key) for key, flight in boarded.items()}
        finally:
            for flight in boarded.values():
                flight.leave()
        rows = {key: Row(key, error=row) if isinstance(row, LeptonError) else row for key, row in landed.items()}
        return {key: replace(row, source=Source.JOINED) if key in joined else row for key, row in rows.items()}

    async def _compute(
        self, keys: Sequence[bytes], wanted: Mapping[bytes, int], call: Call
    ) -> Sequence[Row | LeptonError]:
        """Look into the shared cache, and compute what is not there."""
        epoch = self._answers.epoch
        shared = await self._answers.find_shared(keys)
        missing = [key for key in keys if key not in shared]
        rows: dict[bytes, Row | LeptonError] = {key: Row(key, shared[key], Source.SHARED) for key in shared}
        if missing:
            part = self._units.part([wanted[key] for key in missing])
            for key, outcome in zip(missing, await self._outcomes(part, call), strict=True):
                rows[key] = self._keep(key, outcome, epoch)
        return [rows[key] for key in keys]

    def _keep(self, key: bytes, outcome: Outcome, epoch: int) -> Row | LeptonError:
        if outcome.rows is None or outcome.error is not None:
            assert outcome.error is not None  # noqa: S101 - an outcome has the one or the other
            return outcome.error
        entry = Entry(outcome.rows, tuple(outcome.anomalies), outcome.frame)
        work_us = outcome.preprocess_us + outcome.compute_us / max(1, outcome.batch_rows)
        self._answers.keep(key, entry, epoch=epoch, work_s=work_us / 1e6)
        return Row(key, entry, Source.COMPUTED, outcome)

    async def _outcomes(self, part: Inputs, call: Call) -> Sequence[Outcome]:
        """One for every row of `part`, with fields of errors named from the row on."""
        request = replace(self._routed.request, read=lambda _: part, answered=False)
        routed = replace(self._routed, request=request, call=call)
        if not self._units.are_items:
            (outcome,) = (await self._proceed(routed)).outcomes
            assert outcome.rows is not None  # noqa: S101 - the error of tensors is raised
            return [replace(outcome, rows=row) for row in split(outcome.rows, [1] * outcome.rows.count)]
        try:
            outcomes = (await self._proceed(routed)).outcomes
        except LeptonError as error:
            if len(part.items) > 1:
                raise
            outcomes = [Outcome(error=error)]
        for index, outcome in enumerate(outcomes):
            if outcome.error is not None:
                outcome.error = _renamed(outcome.error, f"{part.field}[{index}].", "")
        return outcomes


def _within(proceed: Proceed, tensors: Tensors) -> Proceed:
    async def inner(routed: RoutedCall) -> InferenceResult:
        with keeping(tensors, routed.call):
            return await proceed(routed)

    return inner


def _reading(routed: RoutedCall, inputs: Inputs) -> RoutedCall:
    """The call with inputs that were read already."""
    return replace(routed, request=replace(routed.request, read=lambda _: inputs))


def _overhear(answers: Partition[Entry], seed: bytes, units: Units | None) -> None:
    """Look at a few inputs while the cache is off, without making keys of the others."""
    if units is not None and not answers.on and units.fingerprint() % SAMPLE == 0:
        for key in units.keys(seed):
            answers.overhear(key)


def _located(error: LeptonError, item: str) -> LeptonError:
    """The error of a row as that of this caller's own, who may have it at another place."""
    return _renamed(error, "", f"{item}.")


def _renamed(error: LeptonError, before: str, after: str) -> LeptonError:
    """A copy of an error whose fields begin with something else."""

    def rename(text: str) -> str:
        return after + text.removeprefix(before) if text.startswith(before) else text

    fields = tuple(FieldViolation(rename(each.field), each.description) for each in error.fields)
    named = bool(error.fields) and error.message.startswith(error.fields[0].field)
    message = rename(error.message) if named else error.message
    return type(error)(message, reason=error.reason, fix=error.fix, fields=fields, retry_after_s=error.retry_after_s)


def _tell(call: Call, where: str) -> None:
    span = trace.get_current_span(call.context)
    if span.is_recording():
        span.set_attribute(_WHERE, where)


def _tell_rows(call: Call, rows: Sequence[Row]) -> None:
    """Say where the rows came from: of several, the slowest place, and how many did not have to be computed."""
    span = trace.get_current_span(call.context)
    if not span.is_recording():
        return
    sources = {row.source for row in rows}
    slowest = next(source for source in reversed(Source) if source in sources)
    span.set_attribute(_WHERE, slowest.value)
    if len(rows) > 1:
        span.set_attribute("lepton.cache.rows", sum(row.source is not Source.COMPUTED for row in rows))
