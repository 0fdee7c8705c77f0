"""Reading metrics pages: as the library does it, but fast, and whatever a page says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics import exposition, parser
from prometheus_client.parser import text_string_to_metric_families

from lepton_ai.errors import InvalidInput
from services.health.metrics.scraping.page import GONE, PageReader
from services.health.metrics.series import NAME, Exemplar, is_stale

Labels = Mapping[str, str]


class Page:
    """A reader, and what it has read."""

    def __init__(self, *, room: int = 1000) -> None:
        self.series: list[Labels] = []
        self.counters: list[bool] = []
        self.room = room
        self.reader = PageReader(self._admit)

    def _admit(self, labels: Labels, is_counter: bool) -> int:
        if len(self.series) >= self.room:
            return -1
        self.series.append(labels)
        self.counters.append(is_counter)
        return len(self.series) - 1

    def read(self, text: str | bytes) -> dict[frozenset[tuple[str, str]], float]:
        reading = self.reader.read(text.encode() if isinstance(text, str) else text)
        self.exemplars = {frozenset(self.series[place].items()): each for place, each in reading.exemplars.items()}
        self.reading = reading
        return {frozenset(self.series[place].items()): value for place, value in enumerate(reading.values)}


def key(name: str, **labels: str) -> frozenset[tuple[str, str]]:
    return frozenset({NAME: name, **labels}.items())


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
numbers = st.floats(allow_nan=False) | st.sampled_from([float("inf"), -1.0, 1e300, 5e-324])
rows = st.lists(st.tuples(texts, texts, numbers), min_size=1, max_size=8, unique_by=lambda row: row[:2])


def registry_of(found: Sequence[tuple[str, str, float]], *, exemplars: bool) -> CollectorRegistry:
    registry = CollectorRegistry()
    gauge = Gauge("temperature", 'Degrees "outside"\n\\ here.', ("place", "floor"), registry=registry)
    counter = Counter("calls", "Calls.", ("method", "code"), registry=registry)
    seconds = Histogram("call_seconds", "Time.", ("method",), registry=registry)
    for first, second, value in found:
        gauge.labels(first, second).set(value)
        counter.labels(first, second).inc(abs(value))
        exemplar = {"trace_id": "0af7651916cd43dd8448eb211c80319c"} if exemplars else None
        seconds.labels(first).observe(abs(value), exemplar=exemplar)
    return registry


@settings(max_examples=30, deadline=None)
@given(rows)
def test_a_page_is_read_as_the_library_reads_it(found: Sequence[tuple[str, str, float]]) -> None:
    text = generate_latest(registry_of(found, exemplars=False)).decode()
    expected = {
        frozenset({NAME: sample.name, **sample.labels}.items()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    page = Page()
    assert page.read(text) == expected
    assert page.read(text) == expected, "from what it knows of the page before"


@settings(max_examples=30, deadline=None)
@given(rows)
def test_an_openmetrics_page_is_read_as_the_library_reads_it(found: Sequence[tuple[str, str, float]]) -> None:
    text = exposition.generate_latest(registry_of(found, exemplars=True)).decode()  # type: ignore[no-untyped-call]
    families = parser.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    samples = [sample for family in families for sample in family.samples]
    expected = {frozenset({NAME: each.name, **each.labels}.items()): each.value for each in samples}
    page = Page()
    assert page.read(text) == expected
    exemplars = {
        frozenset({NAME: each.name, **each.labels}.items()): Exemplar(
            each.exemplar.labels, each.exemplar.value, float(each.exemplar.timestamp or 0)
        )
        for each in samples
        if each.exemplar is not None
    }
    assert page.exemplars.keys() == exemplars.keys()
    for series, exemplar in exemplars.items():
        assert page.exemplars[series].labels == exemplar.labels
        assert page.exemplars[series].value == exemplar.value
        assert page.exemplars[series].time_s == pytest.approx(exemplar.time_s)
    assert page.read(text) == expected
    assert page.exemplars == {}, "none is new"


def test_what_is_no_longer_on_a_page_has_ended() -> None:
    page = Page()
    page.read("a 1\nb 2\n")
    page.read("b 3\n")
    ended = [bool(each) for each in is_stale(page.reading.values)]  # type: ignore[arg-type]
    assert ended == [True, False]
    page.read("a 4\nb 3\n")
    assert page.reading.values == [4, 3]


def test_nan_and_negative_counters_are_data() -> None:
    page = Page()
    page.read("# TYPE a_total counter\na_total -5\nb NaN\nc +Inf\nd -Inf\n")
    values = page.reading.values
    assert values[0] == -5
    assert math.isnan(values[1])
    assert not is_stale(values).any()  # type: ignore[arg-type]
    assert values[2:] == [math.inf, -math.inf]


def test_times_on_a_page_are_ignored() -> None:
    assert Page().read('a{b="c"} 5 1395066363000\n') == {key("a", b="c"): 5}


def test_signs_of_the_format_may_stand_in_labels() -> None:
    text = 'a{b="} # { \\" 7 \\\\"} 5 # {trace_id="x # {"} 0.5 1.5\n'
    page = Page()
    wanted = key("a", b='} # { " 7 \\')
    assert page.read(text) == {wanted: 5}
    assert page.exemplars[wanted] == Exemplar({"trace_id": "x # {"}, 0.5, 1.5)
    assert page.read(text.replace("} 5 #", "} 6 #")) == {wanted: 6}


@pytest.mark.parametrize(
    ("page", "line"),
    [
        ("<html>\n", 1),
        ("a 1\nb one\n", 2),
        ("a 1_000\n", 1),
        ('a{b="c} 1\n', 1),
        ('a{b="c",b="d"} 1\n', 1),
        ("a{b=c} 1\n", 1),
        ('a{b="c"d="e"} 1\n', 1),
        ("1a 1\n", 1),
        ("a\n", 1),
        (b"a\xff 1\n", 1),
        ('a 1 # {trace_id="x" 5\n', 1),
    ],
)
def test_what_is_no_metrics_page_is_refused_with_the_line(page: str | bytes, line: int) -> None:
    with pytest.raises(InvalidInput, match=f"line {line}"):
        Page().read(page)


def test_types_say_what_only_grows() -> None:
    page = Page()
    page.read(
        "# TYPE h histogram\n"
        'h_bucket{le="1"} 1\nh_sum 1\nh_count 1\n'
        "# TYPE s summary\n"
        's{quantile="0.5"} 1\ns_sum 1\n'
        "# TYPE g gauge\ng_count 1\ng 1\n"
        "# TYPE c counter\nc_total 1\n"
        "u_total 1\nu 1\n"
        "# TYPE g_total gauge\n"
    )
    only_grows = {labels[NAME] for labels, counts in zip(page.series, page.counters, strict=True) if counts}
    assert only_grows == {"h_bucket", "h_sum", "h_count", "s_sum", "c_total", "u_total"}
    assert page.reader.families["h"].type == "histogram"


def test_labels_that_are_too_long_or_too_many_are_refused_alone() -> None:
    page = Page()
    many = ",".join(f'l{number}="x"' for number in range(100))
    page.read(f'a{{b="{"x" * 2000}"}} 1\nc{{{many}}} 1\nd 1\n')
    assert [labels[NAME] for labels in page.series] == ["d"]
    assert (page.reading.samples, page.reading.refused) == (3, 2)


def test_series_without_room_are_refused_and_asked_for_again() -> None:
    page = Page(room=1)
    page.read("a 1\nb 2\n")
    assert page.reading.refused == 1
    page.room = 2
    page.read("a 1\nb 2\n")
    assert (page.reading.refused, page.reading.values) == (0, [1, 2])


def test_of_a_flood_of_new_series_only_some_are_looked_at() -> None:
    asked: list[Labels] = []

    def refuse(labels: Labels, _is_counter: bool) -> int:
        asked.append(labels)
        return -1

    reading = PageReader(refuse).read("\n".join(f'a{{b="{number}"}} 1' for number in range(5000)).encode())
    assert (reading.samples, reading.refused) == (5000, 5000)
    assert len(asked) < 1500
    assert GONE not in reading.values
