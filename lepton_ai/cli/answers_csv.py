"""The answers of `lepton predict` as a CSV file: what was sent, then what came back, one line an example."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_ai.cli.answers import elements, meaning
from lepton_ai.errors import FailedPrecondition
from lepton_ai.postprocessing.answers import Numbers, Series

if TYPE_CHECKING:
    from lepton_ai.cli.examples import Example
    from lepton_ai.prediction import Prediction
    from lepton_ai.tensors import Array


def write_answers(path: Path, examples: Sequence[Example], predictions: Sequence[Prediction]) -> None:
    """Write the lines to a file, whole or not at all, or to standard output for "-".

    Raises FailedPrecondition when the file cannot be written.
    """
    given = [_told_apart(example.columns) for example in examples]
    answered = [_answer(prediction) for prediction in predictions]
    fullest_first = sorted(answered, key=len, reverse=True)  # which has the label columns of all, one after the other
    header = list(
        dict.fromkeys(["input", *_names(given), *_names(fullest_first), "prediction_id", "anomalies", "error"])
    )
    lines = [
        {"input": example.name, **row, **answer} for example, row, answer in zip(examples, given, answered, strict=True)
    ]
    if str(path) == "-":
        _write(sys.stdout, header, lines)
        return
    draft = path.with_name(f".{path.name}.new")
    try:
        with draft.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            _write(file, header, lines)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise FailedPrecondition(f"{path} cannot be written: {error.strerror}.", fix="Name another file.") from error


def _write(file: Any, header: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> None:
    writer = csv.DictWriter(file, header, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)


def _names(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield from row


def _told_apart(columns: Mapping[str, Any]) -> dict[str, Any]:
    """What was sent, where its name is also that of an answer as "input.NAME"."""
    return {f"input.{name}" if _is_of_answer(name) else name: _cell(cell) for name, cell in columns.items()}


def _is_of_answer(name: str) -> bool:
    return name in ("input", "prediction_id", "anomalies", "error") or name.startswith(
        ("label", "score", "output.", "number.")
    )


def _answer(prediction: Prediction) -> dict[str, Any]:
    """Labels and scores, best first, or what else the answer is, then outputs; an array as JSON."""
    cells: dict[str, Any] = {}
    for rank, label in enumerate(prediction.labels, start=1):
        place = "" if rank == 1 else f"_{rank}"
        cells[f"label{place}"] = label.name or label.index
        cells[f"score{place}"] = label.score
    for kind, content in meaning(prediction).items():
        cells |= (
            {f"number.{each['name']}": each["value"] for each in content}
            if kind == "numbers"
            else {kind: _cell(content)}
        )
    for name, array in _more_outputs(prediction).items():
        cells[f"output.{name}"] = elements(array.reshape(())) if array.size == 1 else _json(elements(array))
    cells["prediction_id"] = prediction.prediction_id
    cells["anomalies"] = "; ".join(prediction.anomalies)
    cells["error"] = "" if prediction.error is None else str(prediction.error)
    return cells


def _more_outputs(prediction: Prediction) -> Mapping[str, Array]:
    """The outputs that the answer itself does not tell."""
    is_told = isinstance(prediction.answer, Numbers | Series) and len(prediction.outputs) == 1
    return {} if is_told else prediction.outputs


def _cell(value: Any) -> Any:
    return _json(value) if isinstance(value, list | dict) else value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
