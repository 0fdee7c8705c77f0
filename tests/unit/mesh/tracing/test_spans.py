"""A recorded span holds what it is told, within limits, until it ends; then it is handed on once and stays as it is."""

from __future__ import annotations

import pytest
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext, SpanKind, Status, StatusCode

from lepton_ai.errors import NotFound
from lepton_ai.mesh.tracing.spans import MAX_EVENTS, MAX_LINKS, RecordedSpan

ELSEWHERE = SpanContext(7, 8, is_remote=True)


def make_span(ended: list[RecordedSpan] | None = None) -> RecordedSpan:
    on_end = (ended if ended is not None else []).append
    return RecordedSpan("work", SpanContext(1, 2, False), None, kind=SpanKind.INTERNAL, start_ns=5, on_end=on_end)


def test_a_span_is_handed_on_when_it_ends_and_only_once() -> None:
    ended: list[RecordedSpan] = []
    span = make_span(ended)
    assert span.is_recording()
    span.end(9)
    span.end(10)
    assert ended == [span]
    assert (span.start_ns, span.end_ns) == (5, 9)
    assert not span.is_recording()


def test_an_ended_span_does_not_change() -> None:
    span = make_span()
    span.end()
    before = repr(span)
    span.set_attributes({"a": 1})
    span.add_event("late")
    span.add_link(ELSEWHERE)
    span.set_status(StatusCode.ERROR)
    span.update_name("other")
    assert repr(span) == before


def test_attributes_over_the_limit_are_counted_and_known_ones_can_still_be_set() -> None:
    span = make_span()
    span.set_attributes({f"a{number}": number for number in range(70)})
    span.set_attribute("a0", "changed")
    assert len(span.attributes) == 64
    assert span.attributes["a0"] == "changed"
    assert span.dropped_attributes == 6


def test_events_and_links_over_the_limit_are_counted() -> None:
    span = make_span()
    for _ in range(MAX_EVENTS + 2):
        span.add_event("tick")
    for _ in range(MAX_LINKS + 3):
        span.add_link(ELSEWHERE)
    assert (len(span.events), span.dropped_events) == (MAX_EVENTS, 2)
    assert (len(span.links), span.dropped_links) == (MAX_LINKS, 3)


def test_attributes_of_events_and_links_have_the_same_limit() -> None:
    span = make_span()
    many = {f"a{number}": "长" * 1000 for number in range(70)}
    span.add_event("tick", many, timestamp=6)
    span.add_link(ELSEWHERE, many)
    for noted in (span.events[0], span.links[0]):
        assert (len(noted.attributes), noted.dropped_attributes) == (64, 6)
        assert noted.attributes["a0"] == "长" * 256
    assert span.events[0].time_ns == 6


def test_a_link_to_nothing_is_left_out_unless_it_says_something() -> None:
    span = make_span()
    span.add_link(INVALID_SPAN_CONTEXT)
    span.add_link(INVALID_SPAN_CONTEXT, {"why": "lost"})
    assert [dict(link.attributes.items()) for link in span.links] == [{"why": "lost"}]


def test_ok_is_final_and_nothing_goes_back_to_unset() -> None:
    span = make_span()
    span.set_status(StatusCode.ERROR, "broken")
    span.set_status(StatusCode.UNSET)
    assert span.status.description == "broken"
    span.set_status(Status(StatusCode.OK))
    span.set_status(StatusCode.ERROR)
    assert span.status.status_code is StatusCode.OK


def test_a_block_that_raises_marks_the_span_and_ends_it() -> None:
    span = make_span()
    with pytest.raises(NotFound), span:
        raise NotFound("no model 'cat'")
    assert not span.is_recording()
    assert span.status.description == "no model 'cat'"


def test_exceptions_are_noted_only_when_asked() -> None:
    span = make_span()
    span.record_exception(NotFound("no"), {"extra": 1})
    (event,) = span.events
    assert event.name == "exception"
    assert event.attributes["exception.type"] == "lepton_ai.errors.NotFound"
    assert event.attributes["extra"] == 1
