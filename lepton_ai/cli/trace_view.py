"""A trace as a tree for the terminal: one line a span, its duration, and a bar where it lies in time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import Style
from rich.text import Text

from lepton_ai.traces.tree import Row, SpanView, TraceTree, build_tree

_SERVICE_COLOURS = ("cyan", "blue", "green", "magenta", "yellow", "bright_cyan", "bright_blue", "bright_magenta")
"""In the order in which services appear; red is kept for errors."""

_MAX_WIDTH = 140
_MIN_BAR_CELLS = 16
_DURATION_CELLS = 9
_MAX_NAME_SHARE = 0.62
_MAX_MESSAGE_CHARS = 60


def render_trace(trace: Mapping[str, Any]) -> TraceView:
    """Something that rich can print, for a trace in Jaeger's JSON; it fits itself to the width of the console."""
    return TraceView(build_tree(trace))


def format_duration_us(duration_us: int) -> str:
    """600 µs, 4.35 ms, 41.2 ms, 1.20 s, 75.0 s."""
    for size, unit in ((1_000_000, "s"), (1_000, "ms")):
        if duration_us >= size:
            value = duration_us / size
            digits = 2 if value < 10 else 1 if value < 100 else 0
            return f"{value:.{digits}f} {unit}"
    return f"{duration_us} µs"


@dataclass(frozen=True)
class _Line:
    depth: int
    label: Text
    start_us: int
    duration_us: int | None
    bar: str
    style: Style


class TraceView:
    """The renderable of one trace."""

    def __init__(self, tree: TraceTree) -> None:
        self._tree = tree
        colours = dict(zip(tree.services, _repeated(_SERVICE_COLOURS, len(tree.services)), strict=True))
        self._lines = [line for row in tree.rows for line in _lines(row, colours)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self._headline(options.max_width)
        width = min(options.max_width, _MAX_WIDTH)
        labels = [
            Text.assemble((guide, "dim"), line.label)
            for guide, line in zip(_guides([line.depth for line in self._lines]), self._lines, strict=True)
        ]
        longest = max((label.cell_len for label in labels), default=0)
        room = width - _DURATION_CELLS - _MIN_BAR_CELLS - 3
        name_cells = max(8, min(longest, int(width * _MAX_NAME_SHARE), room))
        bar_cells = max(0, width - name_cells - _DURATION_CELLS - 3)
        for label, line in zip(labels, self._lines, strict=True):
            label.truncate(name_cells, overflow="ellipsis", pad=True)
            took = "" if line.duration_us is None else format_duration_us(line.duration_us)
            text = Text.assemble(label, " ", took.rjust(_DURATION_CELLS), "  ", self._bar(line, bar_cells))
            text.rstrip()
            text.no_wrap = True
            yield text
        if longest > name_cells:  # a message may have been cut
            yield from (Text(f"✗ {cause}", "red") for cause in _causes(self._tree.rows))

    def _headline(self, width: int) -> Iterator[Text]:
        tree = self._tree
        spans = sum(1 for _ in tree.spans)
        counts = [
            format_duration_us(tree.duration_us),
            _counted(spans, "span"),
            _counted(len(tree.services), "service"),
        ]
        name = Text.assemble(("trace ", "dim"), (clean(tree.trace_id), "bold"), no_wrap=True)
        facts = Text(" · ".join(counts), "dim")
        if tree.error_count:
            facts.append(f" · {_counted(tree.error_count, 'error')}", "bold red")
        if name.cell_len + 2 + facts.cell_len <= width:
            yield Text.assemble(name, "  ", facts)
        else:
            yield from (name, facts)

    def _bar(self, line: _Line, cells: int) -> Text:
        if line.duration_us is None or cells <= 0:
            return Text()
        scale = cells / max(1, self._tree.scale_us)
        first = min(max(0, int((line.start_us - self._tree.start_us) * scale)), cells - 1)
        end = max(first + 1, round((line.start_us - self._tree.start_us + line.duration_us) * scale))
        bar = line.bar * (end - first) if end <= cells else line.bar * (cells - first - 1) + "…"
        return Text.assemble(" " * first, (bar, line.style))


def clean(text: str) -> str:
    """Text that cannot steer the terminal: names and tags come from whoever sent the span."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _lines(row: Row, colours: Mapping[str, str]) -> Iterator[_Line]:
    span = row.span
    if span is None:
        missing = Text(f"parent {clean(row.missing_id)} was not received", "italic dim")
        yield _Line(row.depth, missing, 0, None, "", Style())
        return
    style = Style.parse("bold red" if span.error else colours[span.service])
    yield _Line(row.depth, _label(span, colours[span.service]), span.start_us, span.duration_us, "━", style)
    for part in row.segments:
        bar = "╌" if part.name == "queue" else "─"
        yield _Line(row.depth + 1, Text(part.name, "dim italic"), part.start_us, part.duration_us, bar, style)


def _label(span: SpanView, colour: str) -> Text:
    label = Text()
    if span.error:
        label.append("✗ ", "bold red")
    label.append(clean(span.service), f"bold {colour}")
    label.append(f" {clean(span.operation) or '(no name)'}", "red" if span.error else "")
    if (size := span.tag("lepton.batch.size")) is not None:
        label.append(f" ×{clean(str(size))}", "bold")
    if span.left:
        label.append(" (caller left)", "dim")
    if span.links:
        label.append(f" ({_counted(len(span.links), 'link')})", "dim")
    if message := _message(span):
        label.append(f": {message[:_MAX_MESSAGE_CHARS]}", "red")
    return label


def _message(span: SpanView) -> str:
    """What went wrong in a span, as far as it says so."""
    message = span.tag("otel.status_description") if span.error else None
    return clean(str(message)) if message else ""


def _causes(rows: Sequence[Row]) -> list[str]:
    """What went wrong where it began: in failed spans that no failed one comes below."""
    failed = [(row.depth, row.span) for row in rows if row.span is not None and row.span.error]
    next_depths = [depth for depth, _ in failed][1:] + [0] * bool(failed)
    causes = (_message(span) for (depth, span), below in zip(failed, next_depths, strict=True) if below <= depth)
    return [cause for cause in dict.fromkeys(causes) if cause]


def _guides(depths: Sequence[int]) -> list[str]:
    """The lines that join a tree's rows, from their depths alone; backwards, as a branch ends where none follows."""
    guides: list[str] = []
    follows: set[int] = set()  # depths at which a sibling comes further down
    for depth in reversed(depths):
        stems = "".join("│  " if level in follows else "   " for level in range(1, depth))
        branch = "" if depth == 0 else "├─ " if depth in follows else "└─ "
        guides.append(stems + branch)
        follows = {level for level in follows if level < depth} | {depth}
    return guides[::-1]


def _repeated(values: Sequence[str], count: int) -> Iterable[str]:
    return [values[index % len(values)] for index in range(count)]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
