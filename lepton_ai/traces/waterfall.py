"""The rows of a trace as JSON for the page: everything is worked out here, the browser only draws."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from lepton_ai.traces.tree import Row, SpanView, build_tree

Json = dict[str, Any]


def waterfall(trace: Mapping[str, Any]) -> Json:
    """A trace in Jaeger's JSON as rows in display order; times are µs from the start of the trace."""
    tree = build_tree(trace)
    return {
        "traceID": tree.trace_id,
        "startUs": tree.start_us,
        "durationUs": tree.duration_us,
        "scaleUs": tree.scale_us,
        "services": tree.services,
        "errors": tree.error_count,
        "spans": sum(1 for _ in tree.spans),
        "rows": [_row(row, tree.start_us) for row in tree.rows],
    }


def _row(row: Row, origin_us: int) -> Json:
    return {
        "depth": row.depth,
        "children": row.children,
        "missingID": row.missing_id,
        "failedBelow": row.failed_below,
        "segments": [
            {"name": part.name, "startUs": part.start_us - origin_us, "durationUs": part.duration_us}
            for part in row.segments
        ],
        "span": _span(row.span, origin_us) if row.span is not None else None,
    }


def _span(span: SpanView, origin_us: int) -> Json:
    return {
        "spanID": span.span_id,
        "service": span.service,
        "operation": span.operation,
        "kind": span.kind,
        "startUs": span.start_us - origin_us,
        "durationUs": span.duration_us,
        "error": span.error,
        "left": span.left,
        "tags": span.tags,
        "processTags": span.process_tags,
        "events": [
            {"name": event.name, "timeUs": event.time_us - origin_us, "fields": event.fields} for event in span.events
        ],
        "links": [dataclasses.asdict(link) for link in span.links],
        "warnings": span.warnings,
    }
