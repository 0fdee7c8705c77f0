"""One HTML page about a search: the Pareto picture, the table, the machine. It loads nothing and runs nothing."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from lepton_ai.archive import replacing
from lepton_ai.optimize.measure.engines import serving_engine
from lepton_ai.optimize.report.chart import STYLE, pareto_svg
from lepton_ai.optimize.report.table import TITLES, in_order, points, rows_of

if TYPE_CHECKING:
    from lepton_ai.optimize.result import Optimisation


def write_page(found: Optimisation, path: Path) -> Path:
    """Write the page; an old one stays whole until the new one is. Raises ResourceExhausted for a full disk."""
    with replacing(path) as file:
        file.write(page_of(found).encode())
    return path


def page_of(found: Optimisation) -> str:
    """The page as text."""
    from lepton_ai.datasets.profile.style import STYLE as PAGE_STYLE

    notes = "".join(f"<p class='note'>{escape(note)}</p>" for note in found.notes)
    sections = [
        ("Speed and loss", f"<div class='fine'>{pareto_svg(found)}</div>"),
        ("Variants", _table(TITLES, rows_of(found))),
        ("By load", _table(("Variant", "Of", "Rows", "Threads", "Time", "Speed-up", "Rows a second"), _loads(found))),
        ("Measured on", _table(("", ""), _machine(found))),
    ]
    body = "".join(f"<section><h2>{title}</h2>{content}</section>" for title, content in sections)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>Variants of {escape(found.model)}</title><style>{PAGE_STYLE}{STYLE}</style></head><body><main>"
        f"<header><p class='eyebrow'>Optimisation</p><h1>{escape(found.model)}</h1>{_tiles(found)}{notes}</header>"
        f"{body}</main></body></html>"
    )


def _tiles(found: Optimisation) -> str:
    best = found.best
    figures = [("none", "variant within the bound is better")]
    if best is not None and best.measured is not None:
        measured = best.measured
        figures = [
            (best.name, "best variant"),
            (f"{measured.speed.ratio.value:.2f} ×", "as fast"),
            (f"{points(measured.accuracy.loss.value)}", "points of loss"),
            (f"{measured.original_size_bytes / measured.size_bytes:.2f} ×", "smaller"),
        ]
    tiles = "".join(f"<div class='tile'><b>{escape(number)}</b><span>{name}</span></div>" for number, name in figures)
    return f"<div class='tiles'>{tiles}</div>"


def _loads(found: Optimisation) -> list[tuple[str, ...]]:
    return [
        (
            trial.name,
            "whole requests" if speed.load.whole else "the model",
            str(speed.load.batch),
            str(speed.load.threads),
            f"{speed.time_ms:.3g} ms",
            f"{speed.ratio.value:.2f} × [{speed.ratio.low:.2f}, {speed.ratio.high:.2f}]",
            f"{speed.rows_per_s:,.0f}",
        )
        for trial in in_order(found.trials)
        if trial.measured is not None
        for speed in trial.measured.speeds
    ]


def _machine(found: Optimisation) -> list[tuple[str, ...]]:
    cpu = found.task.cpu
    rows = next(trial.measured.accuracy.rows for trial in found.trials if trial.measured is not None)
    return [
        ("Processor", cpu.model),
        ("Abilities", " ".join(cpu.flags)),
        ("Cores", str(cpu.cores)),
        ("Engine", serving_engine()),
        ("Rows judged", str(rows)),
        ("Bound", f"{points(found.task.max_loss)} points"),
        ("Target", found.task.target),
    ]


def _table(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='sheet fine variants'><table><tr>{head}</tr>{body}</table></div>"
