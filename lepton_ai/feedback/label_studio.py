"""Examples as Label Studio's tasks, and the labels that people gave there.

The format is the one documented at labelstud.io/guide/task_format and /guide/predictions: a task has `data`, and
`predictions` with a `result` each, as have its `annotations` when it comes back. JSON-MIN has one flat object a task.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from lepton_ai.archive import replacing
from lepton_ai.errors import InvalidInput
from lepton_ai.feedback.examples import Example, Examples
from lepton_ai.feedback.files import media_type_of

_CONTROL = "label"
_ID = "prediction_id"
_ROW = "row"
_USERS = "users"
"""Who said labels that are there already."""
_TAGS = {"image": "Image", "sound": "Audio", "text": "Text"}
_MAX_RESULT_BYTES = 1 << 30


@dataclass(frozen=True)
class Result:
    """What somebody says is right."""

    prediction_id: str
    label: str
    annotator: str
    """Of Label Studio, by e-mail or number."""


def write_tasks(examples: Examples, path: Path) -> Path:
    """Write the tasks, and the labelling interface that shows them into the same name with .xml.

    Pictures and sounds stand in the tasks themselves, as data URIs. What the model and users said is there
    already, to be corrected. Raises NotFound when there are none.
    """
    examples.check_some()
    shown, kind = _shown(examples)
    tasks = [_task(each, examples, shown) for each in examples]
    with replacing(path) as file:
        file.write(json.dumps(tasks, ensure_ascii=False, indent=1).encode())
    with replacing(path.with_suffix(".xml")) as file:
        file.write(_interface(examples, shown, kind).encode())
    return path


def read_results(path: Path) -> list[Result]:
    """The labels in what Label Studio exported as JSON or JSON-MIN; of several of one task the last one.

    Tasks that were skipped have none. Raises InvalidInput that says which task cannot be read.
    """
    if path.stat().st_size > _MAX_RESULT_BYTES:
        raise InvalidInput.of_field(path.name, "is larger than 1 GiB", fix="Export fewer tasks at once.")
    try:
        tasks = json.loads(path.read_bytes())
    except ValueError as error:
        raise InvalidInput.of_field(path.name, f"is not JSON: {error}", fix=_FIX) from error
    if not isinstance(tasks, list):
        raise InvalidInput.of_field(path.name, "is not a list of tasks", fix=_FIX)
    results: list[Result] = []
    for number, task in enumerate(tasks):
        try:
            results += _results(task)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise InvalidInput.of_field(f"{path.name}[{number}]", "is not a task with its results", fix=_FIX) from error
    return results


_FIX = "In Label Studio: Export, then JSON or JSON-MIN, of a project with tasks from `lepton feedback export`."


def _shown(examples: Examples) -> tuple[str, str]:
    """What people look at: the name of the only picture, sound or text, or the whole row."""
    kinds = examples.kinds
    if len(kinds) == 1 and next(iter(kinds.values())) in _TAGS:
        return next(iter(kinds.items()))
    return _ROW, "row"


def _task(example: Example, examples: Examples, shown: str) -> dict[str, Any]:
    values = {name: _plain(value) for name, value in example.inputs.items()}
    data: dict[str, Any] = {shown: values} if shown == _ROW else dict(values)
    data |= {_ID: example.prediction_id, "model": f"{examples.model}@{example.version}"}
    said = [(f"{examples.model}@{example.version}", example.predicted or example.score, example.score)]
    if example.label is not None:
        # Not as an annotation: it would come back as if a person in Label Studio had said it.
        said.insert(0, (_USERS, float(example.label) if examples.is_of_numbers else example.label, 1.0))
    return {"data": data, "predictions": [_prediction(*each, shown) for each in said]}


def _prediction(who: str, said: str | float, score: float, shown: str) -> dict[str, Any]:
    scored = {"score": score} if isinstance(said, str) else {}
    return {"model_version": who, "result": [_value_of(said, shown)], **scored}


def _value_of(said: str | float, shown: str) -> dict[str, Any]:
    kind, value = ("choices", {"choices": [said]}) if isinstance(said, str) else ("number", {"number": said})
    return {"from_name": _CONTROL, "to_name": shown, "type": kind, "value": value}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"data:{media_type_of(value)};base64,{base64.b64encode(value).decode()}"
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _interface(examples: Examples, shown: str, kind: str) -> str:
    """The labelling interface, in which the tasks name its parts."""
    name = quoteattr(shown)
    looked_at = f"<{_TAGS.get(kind, 'Table')} name={name} value={quoteattr('$' + shown)}/>"
    if examples.is_of_numbers:
        asked = f'<Number name="{_CONTROL}" toName={name}/>'
    else:
        labels = sorted({label for each in examples for label in (each.predicted, each.label, each.other) if label})
        choices = "".join(f"\n    <Choice value={quoteattr(label)}/>" for label in labels)
        asked = f'<Choices name="{_CONTROL}" toName={name} choice="single">{choices}\n  </Choices>'
    return f"<View>\n  {looked_at}\n  {asked}\n</View>\n"


def _results(task: Mapping[str, Any]) -> Iterator[Result]:
    if "annotations" not in task:
        yield from _flat_results(task)
        return
    prediction_id = str(task["data"][_ID])
    given = [each for each in task["annotations"] if not each.get("was_cancelled")]
    given.sort(key=lambda each: str(each.get("updated_at") or each.get("created_at") or ""))
    for annotation in given[-1:]:
        for label in _labels(annotation["result"]):
            yield Result(prediction_id, label, _annotator(annotation.get("completed_by")))


def _labels(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for each in results:
        if each["from_name"] == _CONTROL:
            value = each["value"]
            yield _single(value["choices"] if "choices" in value else value["number"])


def _flat_results(task: Mapping[str, Any]) -> Iterator[Result]:
    prediction_id, label = str(task[_ID]), task.get(_CONTROL)
    if isinstance(label, Mapping):
        label = label["choices"]
    if label is not None:
        yield Result(prediction_id, _single(label), _annotator(task.get("annotator")))


def _single(said: Any) -> str:
    if isinstance(said, Iterable) and not isinstance(said, str):
        (said,) = said
    return str(said)


def _annotator(completed_by: Any) -> str:
    if isinstance(completed_by, Mapping):
        completed_by = completed_by.get("email") or completed_by.get("id")
    return f"label-studio:{completed_by}" if completed_by else "label-studio"
