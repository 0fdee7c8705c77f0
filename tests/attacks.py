"""Files that somebody has made to do harm: archives, model files and pickles in disguise. Small ones, for tests."""

from __future__ import annotations

import io
import json
import pickle
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

EVIL_NAMES = (
    "../evil",
    "../../evil",
    "/tmp/evil",
    "a/../../evil",
    "a/./../../evil",
    "C:/evil",
    "C:\\evil",
    "\\\\server\\share\\evil",
    "..\\evil",
    "a\\..\\..\\evil",
    "．．/evil",  # full-width dots, which some systems make plain ones
    "‥/evil",
    "a/\u202e/../evil",
    "nul\0byte",
    "line\nbreak",
    ".hidden",
    "a//b",
    "a/",
    "x" * 300,
    "猫" * 100,
    "/".join("abcdefghijklmnopqrst"),
)
"""Names that no file of a package may have: traversal, absolute, Windows, look-alikes, too long, too deep."""


class Bomb:
    """What a pickle runs when it is loaded: it makes a file."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self._trace,)


def pickled(trace: Path, *, protocol: int = 4) -> bytes:
    """A pickle that makes the file `trace` when it is loaded."""
    return pickle.dumps(Bomb(trace), protocol=protocol)


def object_array(trace: Path) -> bytes:
    """A .npy of objects, which NumPy unpickles."""
    file = io.BytesIO()
    np.save(file, np.array([Bomb(trace)], dtype=object), allow_pickle=True)
    return file.getvalue()


def object_arrays(trace: Path) -> bytes:
    """A .npz of objects."""
    file = io.BytesIO()
    np.savez(file, weights=np.array([Bomb(trace)], dtype=object))
    return file.getvalue()


def torch_save(trace: Path) -> bytes:
    """What torch.save writes, with such a pickle in it."""
    return zipped({"archive/data.pkl": pickled(trace), "archive/version": b"3\n"})


def disguised_torch_export(trace: Path) -> bytes:
    """An archive that says that it is torch.export's, with a pickle where its samples are."""
    members = {"m/models/model.json": b"{}", "m/data/sample_inputs/model.pt": torch_save(trace)}
    return zipped({**members, "m/archive_format": b"pt2"})


def zipped(members: Mapping[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return file.getvalue()


def zip_with_mode(name: str, content: bytes, mode: int, others: Mapping[str, bytes]) -> bytes:
    """A zip with a member that says that it is a link, a device or a pipe."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for other, data in others.items():
            archive.writestr(other, data)
        info = zipfile.ZipInfo(name)
        info.create_system, info.external_attr = 3, (mode | 0o777) << 16
        archive.writestr(info, content)
    return file.getvalue()


LINKS = {"link": stat.S_IFLNK, "device": stat.S_IFCHR, "block": stat.S_IFBLK, "pipe": stat.S_IFIFO}


def zip_bomb(size_bytes: int) -> bytes:
    """One member of zeros that unpacks to a thousand times its size."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open("MAR-INF/MANIFEST.json", "w", force_zip64=True) as member,
    ):
        for _ in range(size_bytes >> 20):
            member.write(bytes(1 << 20))
    return file.getvalue()


def overlapping_zip(members: int, others: Mapping[str, bytes]) -> bytes:
    """Many entries for the same bytes, as in Fifield's bomb without nesting."""
    content = zipped({**others, "kernel": bytes(1 << 16)})
    end = content.rindex(b"PK\x05\x06")
    directory_at = struct.unpack_from("<L", content, end + 16)[0]
    directory = content[directory_at:end]
    entry = directory[directory.rindex(b"PK\x01\x02") :]
    entries = b"".join(entry.replace(b"kernel", f"{index:06d}".encode()) for index in range(members))
    added = directory + entries
    count = directory.count(b"PK\x01\x02") + members
    return (
        content[:directory_at]
        + added
        + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(added), directory_at, 0)
    )


def many_members_zip(directory_bytes: int) -> bytes:
    """A zip whose list of members alone takes so much room."""
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<H", 40) + bytes(16) + b"n" * 40
    directory = entry * (directory_bytes // len(entry))
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(directory), 0, 0)
    return directory + end


def tar_of(*members: tuple[str, bytes, bytes, str]) -> bytes:
    """A tar of (name, type, content, link target)."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, kind, content, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content), target
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def safetensors(header: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    """A file with this header, which may be text that is no JSON, and that may say another length."""
    text = header.encode() if isinstance(header, str) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(begin: int, end: int, *, dtype: str = "F32", shape: tuple[int, ...] = (1,)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


SAFETENSORS: Mapping[str, bytes] = {
    "giant header": safetensors({}, length=1 << 62),
    "header of a gigabyte": safetensors({}, bytes(100), length=1 << 30),
    "no header": b"",
    "seven bytes": b"1234567",
    "header is no JSON": safetensors("{" * 50),
    "deep header": safetensors('{"a":' * 50_000),
    "header is a list": safetensors([]),
    "duplicate keys": safetensors(
        '{"a":' + json.dumps(tensor(0, 4)) + ',"a":' + json.dumps(tensor(0, 4)) + "}", bytes(4)
    ),
    "overlap": safetensors({"a": tensor(0, 4), "b": tensor(0, 4)}, bytes(4)),
    "hole": safetensors({"a": tensor(0, 4), "b": tensor(8, 12)}, bytes(12)),
    "beyond the end": safetensors({"a": tensor(0, 4)}, b""),
    "more behind": safetensors({"a": tensor(0, 4)}, bytes(400)),
    "negative": safetensors({"a": tensor(-4, 0)}, b""),
    "shape is larger": safetensors({"a": tensor(0, 4, shape=(1 << 40, 1 << 40))}, bytes(4)),
    "shape overflows": safetensors({"a": tensor(0, 0, shape=(1 << 32, 1 << 32, 0))}, b"").replace(b"0]", b"1]", 1),
    "unknown dtype": safetensors({"a": tensor(0, 4, dtype="PICKLE")}, bytes(4)),
    "metadata that are no texts": safetensors({"__metadata__": {"a": 1}}),
}
"""What no sound safetensors file is."""
