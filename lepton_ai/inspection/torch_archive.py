"""Structural validation of torch.export archives (.pt2) without torch: what the zip may hold and what that may say.

`torch.export.load` unpickles, evaluates expressions and resolves names that such a file tells it. Everything of the
kind is looked at here as data, against allow-lists, so that loading an accepted archive runs none of it. Written
against torch 2.13: `torch/export/pt2_archive/_package.py` and `torch/_export/serde/serialize.py`.
"""

from __future__ import annotations

import io
import json
import pickletools
import re
import zipfile
from pathlib import Path
from typing import IO, Any

from lepton_ai.errors import InvalidInput
from lepton_ai.inspection.signature import ModelSignature
from lepton_ai.inspection.torch_program import check_program, program_signature
from lepton_ai.package import Package

_FIELD = "model.file"
_MAX_MEMBERS = 20_000
_MAX_JSON_BYTES = 128 << 20
_MAX_PICKLE_BYTES = 1 << 20

_MEMBERS = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/(version|serialization_id)|\.format_version|\.storage_alignment"
    r"|models/model\.json"
    r"|data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)"
    r"|data/sample_inputs/model\.pt"
    r"|extra/[\w.-]+"
)
_NEEDED = ("models/model.json", "data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_TENSOR_ARCHIVE = re.compile(
    r"data\.pkl|data/\d+|version|byteorder|\.data/serialization_id|\.format_version|\.storage_alignment"
)
# A tensor whose dimensions were marked as free carries a dict with sets in it, hence the second line.
_TENSOR_GLOBALS = re.compile(
    r"collections OrderedDict|torch Size|torch [A-Z][A-Za-z0-9]*Storage"
    r"|torch\._utils (_rebuild_tensor_v2|_rebuild_parameter)"
    r"|torch Tensor|torch\._tensor _rebuild_from_type_v2|(__builtin__|builtins) set"
)
# What it takes to write down tensors in tuples, lists and dicts; nothing that imports by a computed name.
_OPCODES = {
    "PROTO", "FRAME", "STOP", "MARK", "GLOBAL", "REDUCE", "BINPERSID", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    "EMPTY_TUPLE", "EMPTY_DICT", "EMPTY_LIST", "LIST", "DICT", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "BINUNICODE",
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "NEWTRUE", "NEWFALSE", "NONE",
    "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "SHORT_BINUNICODE", "BINUNICODE8", "MEMOIZE",
}  # fmt: skip


def check_torch_export(package: Package) -> None:
    """Check that the package's model is a torch.export archive that loads without running what it brings along.

    Raises InvalidInput.
    """
    check_program(_read_program(package.path(package.description.model.file)), package.description)


def read_torch_export(path: Path) -> ModelSignature:
    """The signature of a torch.export archive, which is checked as for a package. Runs nothing. Raises InvalidInput."""
    return program_signature(_read_program(path))


def _read_program(path: Path) -> dict[str, Any]:
    """The graph in an archive that holds nothing else that could hurt. Raises InvalidInput."""
    with path.open("rb") as file:
        archive, members = _open(file, _MEMBERS)
        with archive:
            for name in _NEEDED:
                if name not in members:
                    raise invalid(f"lacks {name}", fix="Save it with torch.export.save of torch 2.9 or later.")
            _check_payload(_json(archive, members, "data/weights/model_weights_config.json"), prefix="weight_")
            _check_payload(_json(archive, members, "data/constants/model_constants_config.json"), prefix="tensor_")
            samples = members.get("data/sample_inputs/model.pt")
            if samples is not None and samples.file_size:
                _check_tensors(archive, samples)
            return _json(archive, members, "models/model.json")


def _open(file: IO[bytes], allowed: re.Pattern[str]) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    """The zip and its members by their name below the archive's own root. Reads names and sizes only."""
    size = file.seek(0, io.SEEK_END)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeDecodeError) as error:
        raise invalid("is not a torch.export archive", fix="Save it with torch.export.save.") from error
    infos = archive.infolist()
    if not infos or len(infos) > _MAX_MEMBERS or archive.comment or min(i.header_offset for i in infos) != 0:
        raise invalid("is not an archive as torch.export.save writes it")
    root = infos[0].filename.split("/")[0] + "/"
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        _check_member(info, root, allowed, archive_bytes=size)
        members[info.filename.removeprefix(root)] = info
    # torch's reader ignores case: with two such names it could see another member than we do.
    if len({name.lower() for name in members}) != len(infos):
        raise invalid("holds members with equal names")
    return archive, members


def _check_member(info: zipfile.ZipInfo, root: str, allowed: re.Pattern[str], *, archive_bytes: int) -> None:
    name = info.filename.removeprefix(root)
    if not info.filename.startswith(root) or info.orig_filename != info.filename or not allowed.fullmatch(name):
        raise invalid(f"holds {name[:80]!r}, which is not allowed", reason="FORBIDDEN_MEMBER")
    plain = info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size and not info.flag_bits & 1
    if not plain or info.header_offset + info.file_size > archive_bytes:
        raise invalid(f"holds {name[:80]!r} compressed, encrypted or beyond the end", reason="FORBIDDEN_MEMBER")


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, max_bytes: int) -> bytes:
    if info.file_size > max_bytes:
        raise invalid(f"holds {info.filename[-80:]!r} of more than {max_bytes} bytes")
    try:
        return archive.read(info)
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError) as error:
        raise invalid("is a damaged archive") from error


def _json(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str) -> dict[str, Any]:
    try:
        document = json.loads(_read(archive, members[name], _MAX_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise invalid(f"holds a damaged {name}") from error
    if not isinstance(document, dict):
        raise invalid(f"holds a damaged {name}")
    return document


def _check_payload(config: dict[str, Any], *, prefix: str) -> None:
    """Weights and constants must be plain bytes: torch unpickles those that say use_pickle, and custom objects."""
    entries = config.get("config")
    if not isinstance(entries, dict):
        raise invalid("holds a damaged list of weights")
    for entry in entries.values():
        plain = isinstance(entry, dict) and entry.get("use_pickle") is False
        if not plain or not re.fullmatch(prefix + r"\d+", str(entry.get("path_name"))):
            raise invalid(
                "holds weights or constants that are not plain tensors",
                reason="PICKLED_CONTENT",
                fix="Convert tensor subclasses and custom objects to plain tensors before exporting.",
            )


def _check_tensors(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """The sample inputs are what torch.save wrote: a zip around a pickle, which may only rebuild plain tensors."""
    with archive.open(info) as file:
        try:
            nested, members = _open(file, _TENSOR_ARCHIVE)
        except InvalidInput as error:
            raise _pickled() from error
        with nested:
            if "data.pkl" not in members:
                raise _pickled()
            _check_pickle(_read(nested, members["data.pkl"], _MAX_PICKLE_BYTES))


def _check_pickle(data: bytes) -> None:
    """Read a pickle's instructions without following them."""
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name not in _OPCODES:
                raise _pickled()
            if opcode.name == "GLOBAL" and not _TENSOR_GLOBALS.fullmatch(str(argument)):
                raise _pickled()
    except (ValueError, EOFError, IndexError, UnicodeDecodeError) as error:
        raise _pickled() from error


def _pickled() -> InvalidInput:
    return invalid(
        "holds sample inputs that are not plain tensors in tuples, lists and dicts",
        reason="PICKLED_CONTENT",
        fix="Export the model with plain tensors as example inputs.",
    )


def invalid(description: str, *, reason: str = "INVALID_MODEL", fix: str = "") -> InvalidInput:
    """An error about the model file."""
    return InvalidInput.of_field(_FIELD, description, reason=reason, fix=fix)
