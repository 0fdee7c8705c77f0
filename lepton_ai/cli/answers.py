"""What `lepton predict` prints of answers: a table that suits their kind, and a document for programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lepton_ai.cli.output import Column, make_table
from lepton_ai.postprocessing.answers import Boxes, Embedding, Labels, Mask, Numbers, Series, Text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lepton_ai.prediction import Answer, Prediction
    from lepton_ai.tensors import Array

_Line = tuple[object, ...]

_WHOLE = 6
"""Up to how many elements of an output are all shown."""
_FIRST = 3
"""How many are shown of a longer one, before its last."""
_SIX_DIGITS, _ALL_DIGITS = 1e6, 1e15
"""From where six digits do not reach the point, and from where not even a float's do."""


def prediction_table(
    names: Sequence[str], predictions: Sequence[Prediction], *, outputs: Sequence[str] = (), framed: bool = True
) -> RenderableType:
    """A table that suits the kind of answer, with what was odd or went wrong; each input is named once.

    The model's `outputs` that were asked for stand beside the answer. Columns that hold nothing are left out.
    """
    kind = next((type(each.answer) for each in predictions if each.answer is not None), None)
    described = _KINDS.get(kind) if kind is not None else None
    if described is None:
        return _output_table(names, predictions, framed=framed)
    columns, cells_of = described
    rows: list[_Line] = []
    for name, prediction in zip(names, predictions, strict=True):
        lines = [] if prediction.answer is None else cells_of(prediction.answer)
        blank = ("",) * (len(columns) - 1)
        lines = [*lines, *((note, *blank) for note in _notes(prediction))] or [("nothing found", *blank)]
        first, *others = lines
        rows.append((name, *first, *_output_cells(prediction, outputs)))
        rows += [("", *each, *([""] * len(outputs))) for each in others]
    shown = [*columns, *(_output_column(output, predictions) for output in outputs)]
    return make_table(*_filled([Column("Input", style="bold"), *shown], rows), framed=framed)


def answer_document(names: Sequence[str], answers: Sequence[Answer]) -> dict[str, Any]:
    """The answers for programs."""
    predictions = [each for answer in answers for each in answer.predictions]
    return {
        "model": answers[0].model,
        "version": next((answer.version for answer in answers if answer.version), 0),
        "variants": sorted({answer.variant for answer in answers if answer.variant}),
        "trace_ids": [answer.trace_id for answer in answers if answer.trace_id],
        "predictions": [
            {
                "input": name,
                "prediction_id": each.prediction_id,
                "labels": [label._asdict() for label in each.labels],
                **meaning(each),
                "outputs": {output: elements(array) for output, array in each.outputs.items()},
                "anomalies": list(each.anomalies),
                "error": None if each.error is None else {"message": each.error.message, "reason": each.error.reason},
            }
            for name, each in zip(names, predictions, strict=True)
        ],
    }


def meaning(prediction: Prediction) -> dict[str, Any]:
    """What is not labels, under the name of its kind."""
    match prediction.answer:
        case Numbers(numbers):
            return {"numbers": [number._asdict() for number in numbers]}
        case Series() as series:
            document = {"names": list(series.names), "unit": series.unit, "step": series.step}
            return {"series": {**document, "values": series.values.tolist()}}
        case Boxes(boxes):
            return {"boxes": [box._asdict() for box in boxes]}
        case Text(text, score):
            return {"text": text, "score": score}
        case Mask() as mask:
            height, width = mask.classes.shape
            areas = {mask.name_of(index): share for index, share in mask.areas()}
            return {"mask": {"width": width, "height": height, "areas": areas}}
        case Embedding(values):
            return {"embedding": values.tolist()}
    return {}


def _label_lines(answer: Labels) -> list[_Line]:
    return [(label.name or f"class {label.index}", f"{label.score:.1%}") for label in answer.labels]


def _number_lines(answer: Numbers) -> list[_Line]:
    return [(number.name, _measured(number.value), number.unit) for number in answer.numbers]


def _measured(value: float) -> str:
    """Six digits, and of larger numbers all before the point: a price is read, not 1.23e+07."""
    return f"{value:.0f}" if _SIX_DIGITS <= abs(value) < _ALL_DIGITS else f"{value:.6g}"


def _series_lines(answer: Series) -> list[_Line]:
    """A line for each variable: its first values and its last."""
    columns = [_shortened(answer.values[:, index]).partition("  shape")[0] for index in range(answer.values.shape[1])]
    return [
        (name, str(len(answer.values)), values, answer.unit) for name, values in zip(answer.names, columns, strict=True)
    ]


def _box_lines(answer: Boxes) -> list[_Line]:
    return [
        (
            box.name or f"class {box.index}",
            f"{box.score:.1%}",
            f"{box.left:.0f}, {box.top:.0f}",
            f"{box.right - box.left:.0f} × {box.bottom - box.top:.0f}",
        )
        for box in answer.boxes
    ]


def _text_lines(answer: Text) -> list[_Line]:
    return [(answer.text, "" if answer.score is None else f"{answer.score:.1%}")] if answer.text else []


def _mask_lines(answer: Mask) -> list[_Line]:
    return [(answer.name_of(index), f"{share:.1%}") for index, share in answer.areas()]


def _embedding_lines(answer: Embedding) -> list[_Line]:
    return [(_shortened(answer.values),)]


_KINDS: dict[type, tuple[Sequence[Column], Callable[[Any], list[_Line]]]] = {
    Labels: ((Column("Label"), Column("Probability", "right")), _label_lines),
    Numbers: ((Column("Number"), Column("Value", "right"), Column("Unit")), _number_lines),
    Series: ((Column("Series"), Column("Steps", "right"), Column("Values"), Column("Unit")), _series_lines),
    Boxes: (
        (Column("Object"), Column("Probability", "right"), Column("Left, top", "right"), Column("Size", "right")),
        _box_lines,
    ),
    Text: ((Column("Text"), Column("Probability", "right")), _text_lines),
    Mask: ((Column("Area"), Column("Share", "right")), _mask_lines),
    Embedding: ((Column("Embedding"),), _embedding_lines),
}
"""For each kind of answer its columns, and the lines for one answer."""


def _filled(columns: Sequence[Column], rows: Sequence[_Line]) -> tuple[list[Column], list[_Line]]:
    """The input, the answer, and of the other columns those that hold something."""
    kept = [index for index in range(len(columns)) if index < 2 or any(row[index] != "" for row in rows)]
    return [columns[index] for index in kept], [tuple(row[index] for index in kept) for row in rows]


def _output_table(names: Sequence[str], predictions: Sequence[Prediction], *, framed: bool) -> RenderableType:
    """A column for each output; one for notes where there are any, with a row for each."""
    outputs = list(dict.fromkeys(output for prediction in predictions for output in prediction.outputs))
    columns = [Column("Input", style="bold"), *(_output_column(output, predictions) for output in outputs)]
    if any(_notes(prediction) for prediction in predictions):
        columns.append(Column("Note"))
    rows: list[_Line] = []
    for name, prediction in zip(names, predictions, strict=True):
        first, *others = _notes(prediction) or [""]
        rows.append((name, *_output_cells(prediction, outputs), first)[: len(columns)])
        rows += [("", *([""] * len(outputs)), note) for note in others]
    return make_table(columns, rows, framed=framed)


def _notes(prediction: Prediction) -> list[object]:
    """Why there is no answer, in red, and what was odd about the input, in yellow."""
    from rich.text import Text

    errors = [] if prediction.error is None else [Text(str(prediction.error), style="red")]
    return [*errors, *(Text(anomaly, style="yellow") for anomaly in prediction.anomalies)]


def _output_cells(prediction: Prediction, outputs: Sequence[str]) -> list[str]:
    given = prediction.outputs
    return [_shortened(given[output]) if output in given else "" for output in outputs]


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
