"""One HTML page about a trained model: curves, confusion matrix, worst mistakes, findings, settings, lineage."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from lepton_ai.archive import replacing
from lepton_ai.errors import FailedPrecondition
from lepton_ai.models.report.judged import JUDGED_TASKS, Judged, judge
from lepton_ai.models.report.tables import STYLE, confusion_table, note_cards, value_table
from lepton_ai.training.curves import curves_svg
from lepton_ai.training.history import History
from lepton_ai.training.prepared import Prepared
from lepton_ai.training.tasks import Classification

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset
    from lepton_ai.models.model import Model

_SHOWN_MISTAKES = 24
_SECONDS_PER_MINUTE = 60


def write_report(model: Model, path: Path | str, data: Dataset | None = None) -> Path:
    """Write the page; an old one stays whole until the new one is. It needs no other file, loads nothing, runs nothing.

    `data` are the rows to judge by. Raises FailedPrecondition for an untrained model, InvalidInput for unusable data.
    """
    if model.pipeline is None or model.task is None or not len(model.history):
        raise FailedPrecondition("The model has not been trained.", reason="NOT_TRAINED", fix="Call fit first.")
    judged = None
    if data is not None and isinstance(model.task, JUDGED_TASKS):
        prepared = Prepared.of(data, model.pipeline, model.task)
        judged = judge(model.network, model.task, prepared, data, most=_SHOWN_MISTAKES)
    page = _page(model, judged)
    with replacing(Path(path)) as file:
        file.write(page.encode())
    return Path(path)


def _page(model: Model, judged: Judged | None) -> str:
    from lepton_ai.datasets.profile.style import STYLE as PAGE_STYLE

    kind = type(model).__name__
    lineage = dict(model.lineage)
    settings = lineage.pop("settings", {})
    sections = [
        ("Curves", f"<div class='curves'>{curves_svg(model.history)}</div>{_ending(model.history)}"),
        *(_judged_sections(model, judged) if judged is not None else ()),
        ("Findings", note_cards(model.history.notes)),
        ("Model", value_table({"kind": kind, **model.config})),
        ("Settings", value_table(settings)),
        ("Data", value_table(lineage)),
    ]
    body = "".join(f"<section><h2>{title}</h2>{content}</section>" for title, content in sections)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>Run of {escape(kind)}</title><style>{PAGE_STYLE}{STYLE}</style></head><body><main>"
        f"<header><p class='eyebrow'>Training report</p><h1>{escape(_title(model))}</h1>{_tiles(model)}</header>"
        f"{body}</main></body></html>"
    )


def _title(model: Model) -> str:
    source = str(model.lineage.get("data", {}).get("source", ""))
    return type(model).__name__ + (f" on {source.split(':')[0]}" if source else "")


def _tiles(model: Model) -> str:
    history = model.history
    best = history.epochs[(history.best_epoch or len(history)) - 1]
    figures: dict[str, str] = {}
    if model.task is not None:
        for name in dict.fromkeys((model.task.main_metric, "loss")):
            key = f"validation_{name}" if f"validation_{name}" in best else name
            if key in best and best[key] is not None:
                figures[key.replace("_", " ")] = f"{best[key]:.4g}"
    figures["epochs" if len(history) != 1 else "epoch"] = str(len(history))
    if history.best_epoch:
        figures["best epoch"] = str(history.best_epoch)
    figures["weights"] = f"{sum(weight.numel() for weight in model.network.parameters()):,}"
    if durations_s := history["duration_s"]:
        figures["of training"] = _duration(sum(durations_s))
    tiles = "".join(
        f"<div class='tile'><b>{escape(text)}</b><span>{name}</span></div>" for name, text in figures.items()
    )
    return f"<div class='tiles'>{tiles}</div>"


def _judged_sections(model: Model, judged: Judged) -> list[tuple[str, str]]:
    sections: list[tuple[str, str]] = []
    if judged.confusion is not None and isinstance(model.task, Classification):
        sections.append(("Confusion", confusion_table(judged.confusion, model.task.classes)))
    figures = value_table({"rows": len(judged.data), **judged.figures})
    return [("Held-out rows", figures), *sections, ("Worst mistakes", _mistakes(judged))]


def _mistakes(judged: Judged) -> str:
    from lepton_ai.datasets.profile.exhibits import Exhibits

    rows = len(judged.data)
    if not judged.mistakes:
        return f"<p class='fine'>None of the {rows:,} rows is wrong.</p>"
    exhibits = Exhibits(judged.data)
    captions = [each.said for each in judged.mistakes]
    shown = exhibits.show([each.row for each in judged.mistakes], captions, heading="the model says")
    said = "Those furthest off, of" if judged.wrong is None else f"{judged.wrong:,} rows are wrong, of"
    how = " (in brackets by how much)" if judged.wrong is None else ", the most certain ones first"
    return f"<p class='note'>{said} {rows:,}{how}.</p><div class='rows'>{shown}</div>"


def _ending(history: History) -> str:
    return f"<p class='note'>The run ended early: {escape(history.ended)}.</p>" if history.ended else ""


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), _SECONDS_PER_MINUTE)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
