"""What `lepton predict` prints of answers: a table that suits their kind, and a document for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lepton_ai.cli.output import Column, make_table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lepton_ai.prediction import Answer, Prediction
    from lepton_ai.tensors import Array

_WHOLE = 6
"""Up to how many elements of an output are all shown."""
_FIRST = 3
"""How many are shown of a longer one, before its last."""


def prediction_table(names: Sequence[str], predictions: Sequence[Prediction], *, framed: bool = True) -> RenderableType:
    """Labels where there are any, else the outputs, with what was odd or went wrong; each input is named once."""
    if any(prediction.labels for prediction in predictions):
        return _label_table(names, predictions, framed=framed)
    return _output_table(names, predictions, framed=framed)


def answer_document(names: Sequence[str], answers: Sequence[Answer]) -> dict[str, Any]:
    """The answers for programs."""
    predictions = [each for answer in answers for each in answer.predictions]
    return {
        "model": answers[0].model,
        "version": next((answer.version for answer in answers if answer.version), 0),
        "trace_ids": [answer.trace_id for answer in answers if answer.trace_id],
        "predictions": [
            {
                "input": name,
                "prediction_id": each.prediction_id,
                "labels": [{"index": label.index, "name": label.name, "score": label.score} for label in each.labels],
                "outputs": {output: elements(array) for output, array in each.outputs.items()},
                "anomalies": list(each.anomalies),
                "error": None if each.error is None else {"message": each.error.message, "reason": each.error.reason},
            }
            for name, each in zip(names, predictions, strict=True)
        ],
    }


def _label_table(names: Sequence[str], predictions: Sequence[Prediction], *, framed: bool) -> RenderableType:
    """A row for each label, best first, and for what was odd."""
    rows: list[tuple[object, ...]] = []
    for name, prediction in zip(names, predictions, strict=True):
        cells: list[tuple[object, str]] = [
            (label.name or f"class {label.index}", f"{label.score:.1%}") for label in prediction.labels
        ]
        cells += [(note, "") for note in _notes(prediction)]
        rows += [(name if rank == 0 else "", *each) for rank, each in enumerate(cells)]
    columns = [Column("Input", style="bold"), Column("Label"), Column("Probability", "right")]
    return make_table(columns, rows, framed=framed)


def _output_table(names: Sequence[str], predictions: Sequence[Prediction], *, framed: bool) -> RenderableType:
    """A column for each output; one for notes where there are any, with a row for each."""
    outputs = list(dict.fromkeys(output for prediction in predictions for output in prediction.outputs))
    columns = [Column("Input", style="bold"), *(_output_column(output, predictions) for output in outputs)]
    if any(_notes(prediction) for prediction in predictions):
        columns.append(Column("Note"))
    rows: list[tuple[object, ...]] = []
    for name, prediction in zip(names, predictions, strict=True):
        given = prediction.outputs
        values = [_shortened(given[output]) if output in given else "" for output in outputs]
        first, *others = _notes(prediction) or [""]
        rows.append((name, *values, first)[: len(columns)])
        rows += [("", *([""] * len(outputs)), note) for note in others]
    return make_table(columns, rows, framed=framed)


def _notes(prediction: Prediction) -> list[object]:
    """Why there is no answer, in red, and what was odd about the input, in yellow."""
    from rich.text import Text

    errors = [] if prediction.error is None else [Text(str(prediction.error), style="red")]
    return [*errors, *(Text(anomaly, style="yellow") for anomaly in prediction.anomalies)]


def _output_column(output: str, predictions: Sequence[Prediction]) -> Column:
    arrays = [prediction.outputs[output] for prediction in predictions if output in prediction.outputs]
    numbers = all(array.size == 1 and array.dtype.kind != "O" for array in arrays)
    return Column(output, "right" if numbers else "left")


def _shortened(array: Array) -> str:
    """A single element as it is; of several at most the first and the last, with the shape."""
    flat = array.reshape(-1)
    if flat.size == 1:
        return _shown(flat[0])
    parts = [_shown(each) for each in (flat if flat.size <= _WHOLE else flat[:_FIRST])]
    if flat.size > _WHOLE:
        parts += ["…", _shown(flat[-1])]
    return f"{', '.join(parts)}  shape {list(array.shape)}".lstrip()


def _shown(element: object) -> str:
    """A number in as many digits as tell it from its neighbours, which numpy knows by its type; or a text."""
    return _text(element) if isinstance(element, bytes) else str(element)


def elements(array: Array) -> Any:
    """Nested lists of numbers or texts; the bare element of an array without dimensions."""
    if array.dtype.kind != "O":
        return array.tolist()
    if array.ndim:
        return [elements(each) for each in (array[index, ...] for index in range(len(array)))]
    return _text(array.item())


def _text(content: bytes) -> str:
    return content.decode("utf-8", "backslashreplace")
