"""A call of a model that works when it is copied: its golden sample, on the command line and in Python."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from lepton_ai.file import FILE_KINDS
from lepton_ai.package.description import Description, TensorSpec
from lepton_ai.tensors import numpy_dtype

_PLAIN = re.compile(r"[\w@%+=:,./-]+")
_SHOWN_VALUES = 64
"""An array of more is not written out."""


@dataclass(frozen=True)
class ExampleCall:
    """One call, written twice."""

    shell: str
    """Empty where the command line has no way to send it."""
    python: str

    def document(self) -> dict[str, str]:
        """For programs."""
        return {"shell": self.shell, "python": self.python}


def example_call(description: Description) -> ExampleCall:
    """The call with the first golden sample; with zeros for a model that takes tensors."""
    if description.preprocess is None or not description.golden:
        return ExampleCall("", _infer(description))
    name = description.name
    kinds = {each: description.input_kind(each) for each in description.preprocess.inputs}
    inputs = [_Input(each, kinds[each], value) for each, value in description.golden[0].inputs.items()]
    alone = len(kinds) == 1
    is_read = any(not isinstance(each.value, str) for each in inputs if each.name in description.preprocess.readings)
    shell = _json_row(name, inputs) if is_read else _options(name, inputs, alone=alone)
    return ExampleCall(shell, _predict(name, inputs, alone=alone))


@dataclass(frozen=True)
class _Input:
    name: str
    kind: str
    value: Any
    """As it stands in lepton.yaml."""

    @property
    def file(self) -> str:
        """The package's file that it is."""
        if isinstance(self.value, dict):
            return str(self.value.get("file", ""))
        return str(self.value) if self.kind in FILE_KINDS else ""

    @property
    def path(self) -> str:
        """Where that is fetched to."""
        return PurePosixPath(self.file).name

    @property
    def array(self) -> Any:
        """Its values as numbers of their type, floats to six digits; None for what is no array."""
        if not isinstance(self.value, dict) or "values" not in self.value:
            return None
        is_float = self.value.get("dtype", "FP32").startswith(("FP", "BF"))
        return _as_floats(self.value["values"]) if is_float else self.value["values"]


def _options(name: str, inputs: list[_Input], *, alone: bool) -> str:
    fetched = [f"lepton download {name} {_quoted(each.file)} {_quoted(each.path)}" for each in inputs if each.file]
    sent = [_option(each, alone=alone) for each in inputs]
    return "" if None in sent else " && ".join([*fetched, " ".join(["lepton predict", name, *map(str, sent)])])


def _json_row(name: str, inputs: list[_Input]) -> str:
    """A number for an input whose texts are read as its table was written stays a number in JSON alone."""
    row = {each.name: each.value for each in inputs}
    return f"echo {_quoted(json.dumps(row, ensure_ascii=False))} | lepton predict {name} -"


def _quoted(text: str) -> str:
    """As shells want it; letters of any script need no quotes."""
    return text if _PLAIN.fullmatch(text) else shlex.quote(text)


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _option(given: _Input, *, alone: bool) -> str | None:
    """How the command line sends it; None where it does not."""
    if given.file:
        return _quoted(given.path) if alone else f"--input {_quoted(f'{given.name}={given.path}')}"
    if given.array is not None:
        small = _count(given.array) <= _SHOWN_VALUES
        return f"--input {_quoted(f'{given.name}={json.dumps(given.array)}')}" if small else None
    value = int(given.value) if given.kind == "number" and isinstance(given.value, bool) else given.value
    text = value if isinstance(value, str) else json.dumps(value)
    if alone and given.kind == "text":
        return f"--text {_quoted(text)}"
    return f"--input {_quoted(f'{given.name}={text}')}"


def _predict(name: str, inputs: list[_Input], *, alone: bool) -> str:
    uses_numpy = any(given.array is not None for given in inputs)
    values = {given.name: _python_value(given) for given in inputs}
    value = next(iter(values.values())) if alone else _dictionary(values)
    fetched = [
        f'    {_variable(given)} = lepton.download("{name}", {_literal(given.file)}, {_literal(given.path)})\n'
        for given in inputs
        if given.file
    ]
    numpy = "import numpy as np\n" if uses_numpy else ""
    head = f"{numpy}import lepton_ai as la\n\nwith la.Client() as lepton:\n"
    return f'{head}{"".join(fetched)}    print(lepton.predict("{name}", {value}))'


def _python_value(given: _Input) -> str:
    if given.file:
        return _variable(given)
    if given.array is None:
        return _literal(given.value)
    if _count(given.array) <= _SHOWN_VALUES:
        return f"np.array({given.array!r})"
    return f"np.zeros({_array_shape(given.array)!r}, {_numpy_name(given.value.get('dtype', 'FP32'))!r})"


def _variable(given: _Input) -> str:
    return given.name if given.name.isidentifier() else "file"


def _infer(description: Description) -> str:
    tensors = {spec.name: f"np.zeros({_one_row(spec)!r}, {_numpy_name(spec.dtype)!r})" for spec in description.inputs}
    return (
        "import numpy as np\nimport lepton_ai as la\n\nwith la.Client() as lepton:\n"
        f'    print(lepton.infer("{description.name}", {_dictionary(tensors)}).tensors)'
    )


def _one_row(spec: TensorSpec) -> tuple[int, ...]:
    return tuple(max(1, dimension) for dimension in spec.shape)


def _numpy_name(dtype: str) -> str:
    return str(numpy_dtype(dtype)) if dtype not in ("BF16", "BYTES") else "object"


def _dictionary(values: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{_literal(name)}: {value}" for name, value in values.items()) + "}"


def _as_floats(values: Any) -> Any:
    return [_as_floats(each) for each in values] if isinstance(values, list) else float(f"{values:.6g}")


def _array_shape(values: Any) -> tuple[int, ...]:
    return (len(values), *_array_shape(values[0])) if isinstance(values, list) and values else ()


def _count(values: Any) -> int:
    return math.prod(_array_shape(values))
