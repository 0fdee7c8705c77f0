"""What the graph inside a torch.export archive may say: known operators, plain shape expressions, plain signatures.

torch resolves operator names with getattr, evaluates shape expressions with sympy (which is `eval`), runs guards with
`exec` and imports the enums that a signature names; see `torch/_export/serde/serialize.py` and
`torch/export/_unlift.py` of torch 2.13.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from lepton_ai.errors import InvalidInput
from lepton_ai.inspection.repeatable import check_repeatable
from lepton_ai.inspection.signature import ModelSignature, ModelTensor, check_tensor
from lepton_ai.package import Description

_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims|quantized|quantized_decomposed)\.(?!__)\w+\.(?!__)\w+"
    r"|torch\.ops\.aten\.__(and|or|xor|lshift|rshift|iand|ior|ixor|ilshift|irshift)__\.(Tensor|Scalar)"
    r"|torch\.ops\.higher_order\.(cond|while_loop|scan|associative_scan|map_impl|wrap_with_set_grad_enabled|wrap_with_autocast)"
    r"|torch\.sym_(int|float|max|min|not|ite|sqrt|sum)"
    r"|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|pow|neg|pos|eq|ne|lt|le|gt|ge|and_|or_|not_)"
    r"|math\.(ceil|floor|trunc|sqrt)"
)
_FILE_OPERATORS = re.compile(r"torch\.ops\.aten\.(from_file|_print)\.\w+")
_PYTREES = {None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}
_MAX_EXPRESSION_LENGTH = 1000
_FUNCTIONS = {
    "Symbol", "Integer", "Rational", "Float", "Add", "Mul", "Pow", "Max", "Min", "Eq", "Ne", "Lt", "Le", "Gt", "Ge",
    "And", "Or", "Not", "FloorDiv", "ModularIndexing", "Where", "PythonMod", "Mod", "CleanDiv", "CeilToInt",
    "FloorToInt", "CeilDiv",
    "PowByNatural", "FloatPow", "FloatTrueDiv", "IntTrueDiv", "TruncToFloat", "TruncToInt", "RoundToInt",
    "RoundDecimal", "ToFloat", "Identity", "true", "false", "oo", "int_oo",
}  # fmt: skip
_SYMBOL = re.compile(r"[a-z]{1,4}\d{1,6}")
_ARITHMETIC = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Call, ast.Name, ast.Constant, ast.keyword,
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context,
)  # fmt: skip
_SCALAR_TYPES = {
    1: "UINT8", 2: "INT8", 3: "INT16", 4: "INT32", 5: "INT64", 6: "FP16", 7: "FP32", 8: "FP64", 12: "BOOL", 13: "BF16",
    28: "UINT16", 34: "UINT32", 35: "UINT64",
}  # fmt: skip


def check_program(document: dict[str, Any], description: Description) -> None:
    """Check the graph of an exported program and its signature. Raises InvalidInput."""
    _check_members(document)
    try:
        _check_signature(document["graph_module"], description)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise _refused("holds no signature that can be read") from error
    targets = (value for key, value in _members(document) if key == "target" and isinstance(value, str))
    check_repeatable(targets, description)


def program_signature(document: dict[str, Any]) -> ModelSignature:
    """What the graph takes and gives. Inputs have the names of forward's arguments, outputs those of the dict that it
    answers, else "output" or "output_0", "output_1" …. Raises InvalidInput as `check_program` does."""
    _check_members(document)
    try:
        module = document["graph_module"]
        tensors = module["graph"]["tensor_values"]
        inputs, outputs = _arguments(module["signature"], "input"), _arguments(module["signature"], "output")
        numbered = ["output"] if len(outputs) == 1 else [f"output_{index}" for index in range(len(outputs))]
        names = _output_names(module) or numbered
        return ModelSignature(
            {name: _tensor(tensors[name]) for name in inputs},
            {name: _tensor(tensors[own]) for name, own in zip(names, outputs, strict=True)},
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise _refused("holds no signature that can be read") from error


def _check_members(document: dict[str, Any]) -> None:
    for key, value in _members(document):
        check = _CHECKS.get(key)
        if check is not None:
            check(value)


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value anywhere in a document, so that no new place for an old danger is missed."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            yield from value.items()
            pending += value.values()
        elif isinstance(value, list):
            pending += value


def _check_operator(value: Any) -> None:
    # A tensor may be called "target": then its value is a mapping, and what that holds is looked at too.
    if isinstance(value, str) and (not _OPERATOR.fullmatch(value) or _FILE_OPERATORS.fullmatch(value)):
        raise _refused(f"uses the operator {value[:80]!r}, which cannot be served", reason="FORBIDDEN_OPERATOR")


def _check_expression(value: Any) -> None:
    if isinstance(value, str):
        _check_arithmetic(value, _is_plain_call)


def _check_guards(value: Any) -> None:
    for guard in value if isinstance(value, list) else [value]:
        if not isinstance(guard, str):
            raise _refused("holds guards that cannot be read")
        _check_arithmetic(guard, _is_size_of_input, ast.Subscript, ast.Attribute)


def _check_arithmetic(text: str, allow_call: Callable[[ast.Call], bool], *more: type[ast.AST]) -> None:
    try:
        tree = ast.parse(text[: _MAX_EXPRESSION_LENGTH + 1], mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _refused("holds a shape expression that cannot be read", reason="FORBIDDEN_EXPRESSION") from error
    plain = len(text) <= _MAX_EXPRESSION_LENGTH and all(
        isinstance(node, (*_ARITHMETIC, *more))
        and (not isinstance(node, ast.Call) or allow_call(node))
        and (not isinstance(node, ast.Attribute) or node.attr in {"size", "shape"})
        and (not isinstance(node, ast.Name) or _is_plain_name(node.id))
        and (not isinstance(node, ast.Constant) or _is_plain_constant(node.value))
        for node in ast.walk(tree)
    )
    if not plain:
        raise _refused("holds a shape expression that is more than arithmetic", reason="FORBIDDEN_EXPRESSION")


def _is_plain_name(name: str) -> bool:
    return name == "L" or name in _FUNCTIONS or bool(_SYMBOL.fullmatch(name))


def _is_plain_constant(value: object) -> bool:
    # Texts are the names of symbols and inputs.
    return isinstance(value, bool | int | float) or (isinstance(value, str) and value.isidentifier())


def _is_plain_call(node: ast.Call) -> bool:
    """A function of sympy's or torch's arithmetic; Symbol('s77', positive=True, integer=True) is how symbols appear."""
    return isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS


def _is_size_of_input(node: ast.Call) -> bool:
    """`L['x'].size()`, or a function of arithmetic."""
    return (isinstance(node.func, ast.Attribute) and not node.args and not node.keywords) or _is_plain_call(node)


def _check_pytree(value: Any) -> None:
    if value is None:
        return
    try:
        for key, member in _members(json.loads(value)):
            plain = not isinstance(member, dict) and (key != "type" or member in _PYTREES)
            if not plain or (key == "context" and not _is_plain_context(member)):
                raise _refused("takes or gives more than tensors in tuples, lists and dicts")
    except (TypeError, ValueError, RecursionError) as error:
        raise _refused("holds a signature that cannot be read") from error


def _is_plain_context(context: Any) -> bool:
    """Whether a context is only the keys of a dict, which may be JSON inside JSON."""
    keys = json.loads(context) if isinstance(context, str) else context
    return keys is None or (isinstance(keys, list) and all(isinstance(key, str) for key in keys))


def _check_absent(value: Any) -> None:
    if value:
        raise _refused("holds custom objects", reason="PICKLED_CONTENT")


_CHECKS: dict[str, Callable[[Any], None]] = {
    "target": _check_operator,
    "as_operator": _check_operator,
    "expr_str": _check_expression,
    "guards_code": _check_guards,
    "in_spec": _check_pytree,
    "out_spec": _check_pytree,
    "as_custom_obj": _check_absent,
    "custom_obj_values": _check_absent,
    "custom_obj": _check_absent,
    "treespec_namedtuple_fields": _check_absent,
}


def _check_signature(module: dict[str, Any], description: Description) -> None:
    """Inputs are compared in order, as they become forward's arguments; outputs too, unless the model names them."""
    tensors, signature = module["graph"]["tensor_values"], module["signature"]
    inputs, outputs = _arguments(signature, "input"), _arguments(signature, "output")
    names = _output_names(module)
    if names is not None:
        by_name = dict(zip(names, outputs, strict=True))
        outputs = [_named(by_name, index, spec.name) for index, spec in enumerate(description.outputs)]
    for kind, specs, actual in (("inputs", description.inputs, inputs), ("outputs", description.outputs, outputs)):
        if len(specs) != len(actual):
            raise InvalidInput.of_field(
                kind, f"names {len(specs)}, the model has {len(actual)}", reason="SIGNATURE_MISMATCH"
            )
        for index, (spec, name) in enumerate(zip(specs, actual, strict=True)):
            tensor = _tensor(tensors[name])
            check_tensor(f"{kind}[{index}]", spec, tensor, max_batch_size=description.max_batch_size)


def _arguments(signature: dict[str, Any], kind: str) -> list[str]:
    """Names inside the graph of what the caller gives or gets."""
    specs = [spec[f"user_{kind}"] for spec in signature[f"{kind}_specs"] if f"user_{kind}" in spec]
    return [spec["arg"]["as_tensor"]["name"] for spec in specs]


def _output_names(module: dict[str, Any]) -> list[str] | None:
    """The keys of the dict that the model answers with; None when it answers otherwise."""
    _, spec = json.loads(module["module_call_graph"][0]["signature"]["out_spec"])
    keys = json.loads(spec["context"]) if spec["type"] in {"builtins.dict", "collections.OrderedDict"} else None
    return keys if isinstance(keys, list) else None


def _named(outputs: dict[str, str], index: int, name: str) -> str:
    if name not in outputs:
        known = ", ".join(sorted(outputs)[:10])
        raise InvalidInput.of_field(
            f"outputs[{index}].name", f"the model has no such output; it has {known}", reason="SIGNATURE_MISMATCH"
        )
    return outputs[name]


def _tensor(meta: dict[str, Any]) -> ModelTensor:
    dtype = _SCALAR_TYPES.get(meta["dtype"], f"type {meta['dtype']} of torch")
    return ModelTensor(dtype, tuple(size.get("as_int") for size in meta["sizes"]))


def _refused(description: str, *, reason: str = "INVALID_MODEL") -> InvalidInput:
    return InvalidInput.of_field("model.file", description, reason=reason)
