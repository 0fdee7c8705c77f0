"""Parts of a report's page: the confusion matrix, the findings of a run, names with values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from lepton_ai.tensors import Array

_MOST_CLASSES = 24
_MOST_PAIRS = 20
_VALUE_CHARS = 200

STYLE = """
.table{border-collapse:collapse;background:var(--card);border:1px solid var(--line);border-radius:10px;font-size:13.5px}
.table th,.table td{padding:5px 12px;text-align:left;border-top:1px solid var(--line);overflow-wrap:anywhere;
font-variant-numeric:tabular-nums}
.table tr:first-child>*{border-top:0}.table th{color:var(--soft);font-weight:400}
.wide{overflow-x:auto}
.matrix{border-collapse:separate;border-spacing:2px;font-size:13px;font-variant-numeric:tabular-nums}
.matrix th{color:var(--soft);font-weight:400;padding:2px 8px;max-width:130px;overflow:hidden;text-overflow:ellipsis;
white-space:nowrap}.matrix thead th{text-align:center}.matrix tbody th{text-align:right}
.matrix td{min-width:40px;padding:5px 6px;text-align:center;border-radius:4px;
background:color-mix(in srgb,var(--tint) var(--share),var(--card))}
.matrix .right{--tint:var(--accent)}.matrix .wrong{--tint:var(--high)}
.curves svg{max-width:100%;height:auto}.curves{background:var(--card);border:1px solid var(--line);border-radius:10px;
padding:14px;overflow-x:auto}
.columns>div{min-width:0}
""".replace("\n", "")


def confusion_table(confusion: Array, classes: Sequence[str]) -> str:
    """Lines are the true classes, columns what the model says; with many classes, the pairs most often confused."""
    if len(classes) > _MOST_CLASSES:
        return _confused_pairs(confusion, classes)
    head = "".join(f"<th title='{escape(name, quote=True)}'>{escape(name)}</th>" for name in classes)
    totals = np.maximum(confusion.sum(axis=1), 1)
    lines = "".join(
        f"<tr><th title='{escape(name, quote=True)}'>{escape(name)}</th>"
        + "".join(
            _cell(int(confusion[line, column]), int(totals[line]), is_right=line == column)
            for column in range(len(classes))
        )
        + "</tr>"
        for line, name in enumerate(classes)
    )
    return (
        "<p class='note'>Lines: what it is. Columns: what the model says.</p><div class='wide'>"
        f"<table class='matrix'><thead><tr><th></th>{head}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def note_cards(notes: Sequence[Mapping[str, Any]]) -> str:
    """What was found in a run and what was done about it."""
    if not notes:
        return "<p class='fine'>Nothing was found that needs a look.</p>"
    by_finding: dict[str, list[Mapping[str, Any]]] = {}
    for note in notes:
        by_finding.setdefault(str(note.get("finding", "")), []).append(note)
    return "".join(_finding_card(finding, same) for finding, same in by_finding.items())


def value_table(values: Mapping[str, Any]) -> str:
    """Names and values, nested ones with dots between their names."""
    lines = "".join(
        f"<tr><th>{escape(name.replace('_', ' '))}</th><td>{escape(_text(value))}</td></tr>"
        for name, value in _flat(values)
    )
    return f"<table class='table'>{lines}</table>" if lines else "<p class='note'>Nothing was recorded.</p>"


def _cell(count: int, total: int, *, is_right: bool) -> str:
    share = 100 * count / total
    kind = "right" if is_right else "wrong"
    shade = min(100, share if is_right else 3 * share) * 0.6
    return f"<td class='{kind}' style='--share:{shade:.0f}%' title='{share:.1f} %'>{count or ''}</td>"


def _confused_pairs(confusion: Array, classes: Sequence[str]) -> str:
    wrong = np.where(np.eye(len(classes), dtype=bool), 0, confusion)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_PAIRS]
    pairs = [(*divmod(int(place), len(classes)), int(wrong.flat[place])) for place in order]
    lines = "".join(
        f"<tr><td>{escape(classes[true])}</td><td>{escape(classes[said])}</td><td>{count:,}</td></tr>"
        for true, said, count in pairs
        if count
    )
    return f"<table class='table'><tr><th>it is</th><th>the model says</th><th>rows</th></tr>{lines}</table>"


def _finding_card(finding: str, notes: Sequence[Mapping[str, Any]]) -> str:
    """What was found when it was first found, and every action against it."""
    first, actions = notes[0], [note for note in notes if note.get("action")]
    done = "".join(f"<li>{escape(str(note['action']))} <code>{_place(note)}</code></li>" for note in actions)
    return (
        "<article class='card medium'><div class='head'>"
        f"<span class='check'>{escape(finding)}</span><code>{_place(first)}</code></div>"
        f"<p class='message'>{escape(str(first.get('message', '')))}</p>"
        f"<p class='advice'>{escape(str(first.get('advice', '')))}</p>"
        + (f"<p class='advice'><b>Done:</b></p><ul class='advice'>{done}</ul>" if done else "")
        + "</article>"
    )


def _place(note: Mapping[str, Any]) -> str:
    return escape(f"epoch {note.get('epoch', '?')}, step {note.get('step', '?')}")


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{name}.")
        elif isinstance(value, Sequence) and not isinstance(value, str) and any(isinstance(x, Mapping) for x in value):
            found += [pair for at, each in enumerate(value) for pair in _flat(each, f"{prefix}{name}[{at}].")]
        else:
            found.append((prefix + name, value))
    return found


def _text(value: Any) -> str:
    if value is None or value == "":
        return "–"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _VALUE_CHARS else text[: _VALUE_CHARS - 1] + "…"
