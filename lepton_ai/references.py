"""How people write which model they mean: NAME, NAME@VERSION or NAME@ALIAS."""

from __future__ import annotations

import re

from lepton_ai.errors import InvalidInput
from lepton_ai.v1 import common_pb2 as pb

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""What names of models and aliases look like."""

MAX_TAG_VALUE = 500
"""Characters in the value of a tag."""

PRODUCTION = "production"
"""The alias that calls without a selector go through."""


def check_name(name: str, *, field: str = "name") -> str:
    """Return `name` if it can name a model or an alias, else raise InvalidInput."""
    if NAME_PATTERN.fullmatch(name) is None or ".." in name:
        raise InvalidInput.of_field(
            field,
            f"{name[:64]!r} is not a valid name",
            reason="INVALID_NAME",
            fix="Use 1 to 64 lower-case letters, digits, '.', '_' or '-', beginning with a letter or digit.",
        )
    return name


def check_tag(key: str, value: str) -> None:
    """Raise InvalidInput for what cannot be a tag of a model or version."""
    check_name(key, field="key")
    if len(value) > MAX_TAG_VALUE:
        raise InvalidInput.of_field("value", f"has more than {MAX_TAG_VALUE} characters")


def parse_model_ref(text: str) -> pb.ModelRef:
    """ "resnet" → its production route, "resnet@3" → version 3, "resnet@canary" → that alias. Raises InvalidInput."""
    name, at, selector = text.partition("@")
    reference = pb.ModelRef(name=check_name(name, field="model.name"))
    if not at:
        return reference
    if selector.isascii() and selector.isdigit():
        version = int(selector)
        if not 1 <= version < 1 << 63:
            problem = f"{selector[:20]} is not a version"
            raise InvalidInput.of_field("model.version", problem, fix="Versions begin at 1.")
        reference.version = version
    else:
        reference.alias = check_name(selector, field="model.alias")
    return reference


def parse_form(text: str) -> tuple[pb.ModelRef, str]:
    """ "resnet@3+int8" → version 3 and its variant int8; without "+" an empty name. Raises InvalidInput."""
    reference, plus, variant = text.partition("+")
    return parse_model_ref(reference), check_name(variant, field="variant") if plus else ""


def format_form(version: int, variant: str) -> str:
    """A version, or a variant of it, without the model's name: "3", "3+int8"."""
    return f"{version}+{variant}" if variant else str(version)


def format_model_ref(reference: pb.ModelRef) -> str:
    """The reverse of `parse_model_ref`."""
    selector = reference.WhichOneof("selector")
    return reference.name if selector is None else f"{reference.name}@{getattr(reference, selector)}"
