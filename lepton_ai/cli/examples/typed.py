"""`--input NAME=VALUE`: one example by the names of its inputs, each value read by the kind of its input."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_ai.cli.examples.example import Example, json_value, parse_json
from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline.reading import Reading

if TYPE_CHECKING:
    from lepton_ai.client import ModelDescription

_PLAIN = Reading()


def typed_example(pairs: Sequence[str], described: ModelDescription) -> Example:
    """The example of all `--input` options. Raises InvalidInput naming the input that is wrong."""
    row: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InvalidInput.of_field("--input", f"{pair[:64]!r} has no '='", fix="Write --input NAME=VALUE.")
        if name not in described.inputs:
            raise _unknown(name, described)
        if name in row:
            raise InvalidInput.of_field(name, "is given twice", fix="Give each input once.")
        row[name] = _value(name, text, described)
    shown = ", ".join(pairs)
    return Example(shown, shown, row)


def check_texts(described: ModelDescription) -> None:
    """Raise InvalidInput when the model has several inputs, which no single text can be."""
    if len(described.inputs) > 1:
        example = " ".join(f"--input {name}=…" for name in described.inputs)
        raise InvalidInput(
            f"A --text is a single input; {described.model} takes {_takes(described)}.",
            reason="UNKNOWN_INPUT",
            fix=f"Send {example}, or a file of rows.",
        )


def _value(name: str, text: str, described: ModelDescription) -> Any:
    kind = described.inputs[name]
    if kind == "number":
        return text if name in described.read_inputs else _number(text)
    if kind == "tensor":
        try:
            return json_value(parse_json(text), kind, Path(), name)
        except InvalidInput as error:
            raise InvalidInput.of_field(name, error.message, fix="Write an array as JSON: [1.5, 2.0].") from None
    return json_value(text, kind, Path(), name)


def _number(text: str) -> float | str | None:
    """What is no number goes on as a text, which the platform refuses by its name."""
    if _PLAIN.is_missing(text):
        return None
    number = _PLAIN.number(text)
    return text if number is None else number


def _unknown(name: str, described: ModelDescription) -> InvalidInput:
    near = get_close_matches(name, described.inputs, n=1)
    fix = f"{f'Did you mean {near[0]!r}? ' if near else ''}It takes {_takes(described)}."
    return InvalidInput.of_field(name[:64], f"is not an input of {described.model}", reason="UNKNOWN_INPUT", fix=fix)


def _takes(described: ModelDescription) -> str:
    named = (f"{name} ({kind})" for name, kind in described.inputs.items())
    return ", ".join(named) or f"tensors, from Python alone: `lepton models {described.model}` shows the call"
