"""Traces as trees: order, depth, what is missing, and no trace so odd that it cannot be drawn."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.traces.edges import call_edges
from lepton_ai.traces.exports import Encoding
from lepton_ai.traces.jaeger import jaeger_trace
from lepton_ai.traces.segments import Segment
from lepton_ai.traces.stored import stored_spans
from lepton_ai.traces.tree import TraceTree, build_tree, is_complete
from tests.unit.traces.samples import FAILED, LEFT, PREDICTION, START_US, WATCHED, Sample, otlp, span_id, trace_id


def trace_of(*samples: Sample) -> dict[str, Any]:
    return jaeger_trace(list(stored_spans(Encoding.PROTOBUF, otlp(samples).SerializeToString())))


def outline(tree: TraceTree) -> list[tuple[int, str]]:
    return [(row.depth, row.span.operation if row.span else f"? {row.missing_id}") for row in tree.rows]


def segments(tree: TraceTree, operation: str) -> tuple[Segment, ...]:
    return next(row.segments for row in tree.rows if row.span and row.span.operation == operation)


def test_parents_first_and_children_by_start() -> None:
    tree = build_tree(trace_of(*reversed(PREDICTION)))

    assert [(row.depth, row.span.operation.rpartition("/")[2]) for row in tree.rows if row.span] == [
        (0, "Predict"),
        (1, "Predict"),
        (2, "preprocess"),
        (3, "preprocess batch"),
        (4, "decode_image"),
        (4, "resize"),
        (2, "queue"),
        (2, "compute"),
        (2, "batch"),
        (3, "ModelInfer"),
        (4, "InferRequest"),
        (5, "efficientnet-lite0--v1"),
        (6, "compute"),
        (2, "postprocess"),
    ]
    assert (tree.trace_id, tree.start_us, tree.duration_us) == (trace_id("trace").hex(), START_US, 41_200)
    assert tree.services == ("lepton-cli", "inference", "preprocess", "triton-inference-server")
    assert is_complete(tree)


def test_every_row_knows_how_many_fail_below_it() -> None:
    failing = (
        Sample("inner", "preprocess", 3_000, 100, "decode", error="no"),
        Sample("late", "inference", 39_500, 100, "post", error="no"),
    )
    tree = build_tree(trace_of(*PREDICTION, *failing))
    below = {row.span.span_id: row.failed_below for row in tree.rows if row.span}
    names = ("call", "serve", "pre-wait", "pre", "decode", "inner", "resize", "batch", "post", "late")
    assert [below[span_id(name).hex()] for name in names] == [2, 2, 1, 1, 1, 0, 0, 0, 1, 0]
    assert [row.failed_below for row in build_tree(trace_of(*FAILED)).rows] == [2, 1, 0]


def test_failures_under_a_parent_that_was_not_received_are_counted_too() -> None:
    rows = build_tree(trace_of(*FAILED[1:])).rows
    assert [(row.missing_id != "", row.failed_below) for row in rows] == [(True, 2), (False, 1), (False, 0)]


@pytest.mark.parametrize("tags", [LEFT, {"rpc.grpc.status_code": 1}])
def test_a_call_that_its_caller_left_is_no_failure_whoever_marks_it(tags: dict[str, Any]) -> None:
    (span,) = build_tree(trace_of(Sample("call", "cli", 0, 9, tags=tags, error="cancelled"))).spans
    assert (span.left, span.error) == (True, False)


def test_a_watch_does_not_spoil_the_scale() -> None:
    tree = build_tree(trace_of(*WATCHED))
    assert (tree.duration_us, tree.scale_us, tree.error_count) == (90_005_000, 30_000, 0)
    alone = build_tree(trace_of(WATCHED[1]))
    assert alone.scale_us == alone.duration_us == 90_000_000
    soon = build_tree(trace_of(WATCHED[0], Sample("watch", "health", 5_000, 60_000, "deploy", tags=LEFT)))
    assert soon.scale_us == soon.duration_us


def test_what_a_span_has_is_kept() -> None:
    batch = next(span for span in build_tree(trace_of(*PREDICTION)).spans if span.operation == "batch")

    assert batch.tag("lepton.batch.size") == 4
    assert batch.tag("nothing") is None
    assert [(link.trace_id, link.span_id) for link in batch.links] == [
        (trace_id("other").hex(), span_id("serve").hex())
    ]
    assert batch.process_tags == (("service.instance.id", "inference-1"),)


def test_tritons_queue_and_compute_become_segments() -> None:
    tree = build_tree(trace_of(*PREDICTION))
    model = segments(tree, "efficientnet-lite0--v1")
    compute = [row.segments for row in tree.rows if row.span and row.span.operation == "compute"][1]

    assert model == (Segment("queue", START_US + 15_300, 2_100),)
    assert [(part.name, part.start_us - START_US, part.duration_us) for part in compute] == [
        ("compute input", 17_400, 600),
        ("compute infer", 18_000, 19_700),
        ("compute output", 37_700, 600),
    ]


def test_segments_need_both_ends_and_are_never_negative() -> None:
    half = Sample("m", "t", 0, 10, events={"QUEUE_START": 1, "COMPUTE_START": 2, "COMPUTE_OUTPUT_START": 5})
    back = Sample("m", "t", 0, 10, events={"QUEUE_START": 9, "COMPUTE_START": 2})

    assert segments(build_tree(trace_of(half)), "m") == (Segment("queue", START_US + 1, 1),)
    assert segments(build_tree(trace_of(back)), "m") == (Segment("queue", START_US + 9, 0),)


def test_orphans_stand_under_a_row_that_names_their_parent() -> None:
    tree = build_tree(trace_of(Sample("a", "s", 5, 1, "gone"), Sample("b", "s", 3, 1, "gone"), Sample("r", "s", 0, 9)))

    gone = span_id("gone").hex()
    assert outline(tree) == [(0, "r"), (0, f"? {gone}"), (1, "b"), (1, "a")]
    assert tree.missing_ids == (gone,)
    assert not is_complete(tree)


def test_a_circle_is_cut_at_its_earliest_span() -> None:
    tree = build_tree(trace_of(Sample("a", "s", 0, 1, "c"), Sample("b", "s", 1, 1, "a"), Sample("c", "s", 2, 1, "b")))

    assert outline(tree) == [(0, "a"), (1, "b"), (2, "c")]


def test_a_chain_of_thousands_is_no_problem() -> None:
    chain = [Sample(str(i), "s", i, 1, parent=str(i - 1) if i else "") for i in range(3000)]

    assert build_tree(trace_of(*chain)).rows[-1].depth == 2999


def test_clocks_that_disagree_only_widen_the_trace() -> None:
    tree = build_tree(trace_of(Sample("parent", "a", 1000, 100), Sample("child", "b", 0, 50, "parent")))

    assert (tree.start_us, tree.duration_us) == (START_US, 1100)
    assert outline(tree) == [(0, "parent"), (1, "child")]


def test_events_outside_their_span_do_not_widen_it() -> None:
    assert build_tree(trace_of(*PREDICTION)).duration_us == 41_200  # Triton's GRPC_WAITREAD_START is 450 ms earlier


@pytest.mark.parametrize(
    ("calls", "complete"),
    [
        ([Sample("call", "a", 0, 9, kind="client")], False),
        ([Sample("call", "a", 0, 9, kind="client"), Sample("in", "a", 0, 9, "call")], False),
        ([Sample("call", "a", 0, 9, kind="client"), Sample("in", "b", 0, 9, "call", kind="server")], True),
        ([Sample("call", "a", 0, 9, kind="client", error="refused")], True),
        ([Sample("work", "a", 0, 9)], True),
    ],
)
def test_a_call_without_its_other_side_is_not_complete(calls: list[Sample], complete: bool) -> None:
    assert is_complete(build_tree(trace_of(*calls))) is complete


def test_errors_are_counted() -> None:
    assert build_tree(trace_of(*FAILED)).error_count == 3


def test_jaegers_nulls_and_text_for_true_are_understood() -> None:
    trace = trace_of(FAILED[0])
    trace["spans"][0].update(
        logs=None, references=None, warnings=None, tags=[{"key": "error", "type": "string", "value": "true"}]
    )
    trace["processes"]["p1"]["tags"] = None

    assert build_tree(trace).error_count == 1


def test_edges_are_the_calls_between_services() -> None:
    assert call_edges(trace_of(*PREDICTION)) == {
        ("lepton-cli", "inference"),
        ("inference", "preprocess"),
        ("inference", "triton-inference-server"),
    }


def test_no_edge_for_links_orphans_and_a_services_own_spans() -> None:
    linked = Sample("b", "b", 0, 1, links=[("trace", "a")])

    assert (
        call_edges(
            trace_of(Sample("a", "a", 0, 1), linked, Sample("c", "c", 0, 1, "gone"), Sample("d", "a", 0, 1, "a"))
        )
        == set()
    )


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 12)), min_size=1, max_size=12))
def test_every_span_is_drawn_once_whatever_the_parents(shape: list[tuple[int, int]]) -> None:
    samples = [
        Sample(str(index), "s", start, 1, parent=str(parent) if parent != index else "")
        for index, (start, parent) in enumerate(shape)
    ]
    tree = build_tree(trace_of(*samples))

    assert sorted(span.operation for span in tree.spans) == sorted(sample.name for sample in samples)
    assert all(below.depth <= above.depth + 1 for above, below in zip(tree.rows, tree.rows[1:], strict=False))
