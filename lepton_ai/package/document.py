"""Reads YAML from strangers: bounded size and depth, no aliases or duplicate keys, nothing that JSON could not hold."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import yaml

from lepton_ai.errors import InvalidInput
from lepton_ai.package.positions import NOWHERE, Positions

MAX_DOCUMENT_BYTES = 256 * 1024
_MAX_DEPTH = 32
_PLAIN = (str, int, float, bool, type(None))


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader without the features that make small documents large or ambiguous."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark: yaml.Mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not allowed", mark)
        if self.depth >= _MAX_DEPTH:
            raise yaml.composer.ComposerError(None, None, "nested too deeply", mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise yaml.constructor.ConstructorError(None, None, "keys must be text; quote them", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key.value[:64]!r}", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_document(data: bytes, *, name: str) -> tuple[dict[str, Any], Positions]:
    """The mapping in a YAML document of at most 256 KiB, and where its fields stand.

    Raises InvalidInput naming the line that is wrong.
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        raise InvalidInput.of_field(name, f"is larger than {MAX_DOCUMENT_BYTES} bytes")
    try:
        document, positions = _load(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InvalidInput.of_field(name, "is not UTF-8 text", fix="Save it as UTF-8.") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InvalidInput.of_field(name, f"is not valid YAML: {error.problem}{where}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInput.of_field(name, "is not valid YAML") from error
    if not isinstance(document, dict):
        raise InvalidInput.of_field(name, "must be a mapping of keys to values")
    with positions.told():
        _check_plain(document, "")
    return document, positions


def _load(text: str) -> tuple[Any, Positions]:
    loader = _StrictLoader(text)  # a SafeLoader: it builds plain values only
    try:
        node = loader.get_single_node()
        if node is None:
            return None, NOWHERE
        positions = Positions.of(node)  # before construction, which flattens mappings in place
        return loader.construct_document(node), positions
    finally:
        loader.dispose()


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True  # the loader refuses them


def dump_document(document: dict[str, Any]) -> str:
    """A document that `load_document` reads, in the order of its keys and with Unicode as it is."""
    return yaml.dump(document, Dumper=_PlainDumper, allow_unicode=True, sort_keys=False, width=120)


def _check_plain(value: Any, path: str) -> None:
    if isinstance(value, dict):
        for key, member in value.items():
            _check_plain(member, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            _check_plain(member, f"{path}[{index}]")
    elif not isinstance(value, _PLAIN):
        raise InvalidInput.of_field(path, f"YAML reads this as a {type(value).__name__}", fix="Put it in quotes.")
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidInput.of_field(path, "must be a finite number")
