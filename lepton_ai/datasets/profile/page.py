"""Writes a profile as one HTML page that needs nothing else: findings with pictures, columns with histograms."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from lepton_ai.datasets.profile.charts import bars, histogram
from lepton_ai.datasets.profile.columns import ColumnProfile
from lepton_ai.datasets.profile.exhibits import Exhibits
from lepton_ai.datasets.profile.finding import SEVERITIES, Finding
from lepton_ai.datasets.profile.style import STYLE
from lepton_ai.datasets.spool import disk_error

if TYPE_CHECKING:
    from lepton_ai.datasets.profile.result import Profile

_SHOWN_ROWS = 12
_SHOWN_GROUPS = 6
_SHOWN_OF_A_GROUP = 4
_GROUPED = ("duplicate", "near-duplicate", "conflict")
_SHOWN_COLUMNS = 200


def write_page(profile: Profile, path: Path) -> None:
    """Write the page; an old one stays whole until the new one is. Raises FailedPrecondition, ResourceExhausted."""
    content = page_of(profile)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise disk_error(error) from error


def page_of(profile: Profile) -> str:
    """The page as text. Contents of rows are escaped; there are no scripts and nothing is loaded."""
    exhibits = Exhibits(profile.data)
    others = Exhibits(profile.other)
    cards = [_card(finding, exhibits, others) for finding in profile.findings]
    found = "".join(cards) or '<p class="fine">Nothing was found that needs a look.</p>'
    shown = profile.columns[:_SHOWN_COLUMNS]
    columns = "".join(_column(column, profile) for column in shown)
    rest = len(profile.columns) - len(shown)
    more = f"<p class='note'>{rest} more columns are in the JSON.</p>" if rest else ""
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in profile.notes)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>Profile of {escape(profile.name)}</title><style>{STYLE}</style></head><body><main>"
        f"<header><p class='eyebrow'>Data profile</p><h1>{escape(profile.name)}</h1>{_tiles(profile)}{notes}</header>"
        f"<section><h2>Findings</h2>{found}</section>"
        f"<section><h2>Columns</h2><div class='columns'>{columns}</div>{more}</section>"
        "</main></body></html>"
    )


def _tiles(profile: Profile) -> str:
    figures = [(f"{profile.rows:,}", "rows"), (f"{len(profile.columns):,}", "columns")]
    for severity in SEVERITIES:
        count = sum(finding.severity == severity for finding in profile.findings)
        figures.append((str(count), f"{severity} findings" if count != 1 else f"{severity} finding"))
    tiles = "".join(f"<div class='tile'><b>{number}</b><span>{name}</span></div>" for number, name in figures)
    return f"<div class='tiles'>{tiles}</div>"


def _card(finding: Finding, exhibits: Exhibits, others: Exhibits) -> str:
    column = f"<code>{escape(finding.column)}</code>" if finding.column else ""
    return (
        f"<article class='card {finding.severity}'><div class='head'>"
        f"<span class='badge {finding.severity}'>{finding.severity}</span>"
        f"<span class='check'>{finding.check}</span>{column}</div>"
        f"<p class='message'>{escape(finding.message)}</p><p class='advice'>{escape(finding.advice)}</p>"
        f"{_evidence(finding, exhibits, others)}</article>"
    )


def _evidence(finding: Finding, exhibits: Exhibits, others: Exhibits) -> str:
    counts = finding.evidence.get("counts")
    drawn = bars(counts) if counts else ""
    if finding.check in _GROUPED:
        groups = finding.evidence.get("groups", [])
        rows = "".join(_group(group, exhibits) for group in groups[:_SHOWN_GROUPS])
        hidden = len(groups) > _SHOWN_GROUPS
    elif finding.check == "overlap":
        rows = "".join(_shared(finding, exhibits, others))
        hidden = finding.count > _SHOWN_GROUPS
    else:
        rows = "" if counts and not exhibits.pictorial else _row_list(finding, exhibits)
        hidden = bool(rows) and finding.count > _SHOWN_ROWS
    more = f"<p class='note'>Some of {finding.count:,} rows; the JSON lists more.</p>" if hidden else ""
    return drawn + (f"<div class='rows'>{rows}</div>{more}" if rows else "")


def _row_list(finding: Finding, exhibits: Exhibits) -> str:
    values = finding.evidence.get("values", ())
    rows = finding.rows[:_SHOWN_ROWS]
    captions = [_caption(values[at]) if at < len(values) else "" for at in range(len(rows))]
    return exhibits.show(rows, captions, column=finding.column)


def _group(group: list[int], exhibits: Exhibits) -> str:
    shown = exhibits.show(group[:_SHOWN_OF_A_GROUP], [""] * _SHOWN_OF_A_GROUP)
    more = len(group) - _SHOWN_OF_A_GROUP
    return f"<div class='group'>{shown}{f'<span class=note>+ {more} more</span>' if more > 0 else ''}</div>"


def _shared(finding: Finding, exhibits: Exhibits, others: Exhibits) -> Iterator[str]:
    pairs = zip(finding.rows, finding.evidence["other_rows"], strict=True)
    for row, other in list(pairs)[:_SHOWN_GROUPS]:
        pair = exhibits.show([row], ["here"]) + others.show([other], [str(finding.evidence["other"])])
        yield f"<div class='group'>{pair}</div>"


def _caption(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _column(column: ColumnProfile, profile: Profile) -> str:
    facts = [f"{name} {value:.5g}" for name, value in column.figures.items()]
    if column.distinct is not None:
        facts.append(f"{column.distinct:,} different")
    if column.missing:
        facts.append(f"<em>{column.missing:,} missing</em>")
    elif profile.rows:
        facts.append("none missing")
    chart = histogram(column.histogram) if column.histogram is not None else ""
    if column.top:
        chart = bars(dict(column.top))
    return (
        f"<article class='column'><div class='head'><h3>{escape(column.name)}</h3>"
        f"<span class='kind'>{column.kind} · {column.role}</span></div>{chart}<p class='facts'>{' · '.join(facts)}</p>"
        "</article>"
    )
