"""Reads and writes packages as directories."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_ai.archive import writing
from lepton_ai.errors import DataLoss, FailedPrecondition, InvalidInput, NotFound, ResourceExhausted
from lepton_ai.package.description import DESCRIPTION_FILE, Description
from lepton_ai.package.document import MAX_DOCUMENT_BYTES, dump_document
from lepton_ai.package.manifest import PackageLimits, check_manifest, check_path, manifest_digest
from lepton_ai.package.positions import NOWHERE, Positions
from lepton_ai.v1 import registry_pb2

if TYPE_CHECKING:
    from lepton_ai.inputs.profile import Profile
    from lepton_ai.package.golden import GoldenItem

_MOST_HASHED_AT_ONCE = 8
_LITTLE_BYTES = 16 << 20
"""Are hashed before threads have begun."""
_MAX_PIPELINE_FILE_BYTES = 16 << 20
_MAX_GOLDEN_FILE_BYTES = 32 << 20


@dataclass(frozen=True)
class Package:
    """A package on disk whose description was checked and whose files were hashed when it was read.

    Every regular file in the directory belongs to it, except hidden ones and `__pycache__`.
    """

    directory: Path
    description: Description
    files: Mapping[str, registry_pb2.PackageFile]
    positions: Positions = field(default=NOWHERE, repr=False, compare=False)
    """Where the fields of the description stand in its file."""

    @classmethod
    def read(
        cls,
        directory: Path | str,
        *,
        limits: PackageLimits | None = None,
        hashed: registry_pb2.Manifest | None = None,
    ) -> Package:
        """Read and check a package. Raises InvalidInput with field paths, NotFound, ResourceExhausted over a limit.

        `hashed` lists files that were hashed as they were written to the directory, which are not read for that again.
        """
        root = Path(directory)
        limits = limits or PackageLimits()
        if not root.is_dir():
            raise NotFound("The package directory does not exist.", fix="Name a directory that holds a lepton.yaml.")
        description, positions = Description.parse_located(_read_description(root))
        known = {file.path: file for file in hashed.files} if hashed is not None else {}
        sizes = dict(walk(root, limits))
        hashed_now = _hash_files(root, {path: size for path, size in sizes.items() if path not in known}, limits)
        files = {path: known.get(path) or hashed_now[path] for path in sizes}
        package = cls(root, description, files, positions)
        check_manifest(package.manifest(), limits=limits)
        with positions.told():
            description.check_files(files)
            package.golden_items()
            package.input_profile()
        return package

    @classmethod
    def read_served(
        cls, directory: Path | str, manifest: registry_pb2.Manifest, *, limits: PackageLimits | None = None
    ) -> Package:
        """Read a package of which only `served_files` need be on disk, such as a replica's copy.

        Raises InvalidInput with field paths, DataLoss when a file is missing or not what the manifest says.
        """
        root = Path(directory)
        limits = limits or PackageLimits()
        check_manifest(manifest, limits=limits)
        package = cls(root, Description.parse(_read_description(root)), {file.path: file for file in manifest.files})
        package.description.check_files(package.files)
        for path in served_files(package.description, package.files):
            if not (root / path).is_file() or _hash_file(root, path, limits) != package.files[path]:
                raise DataLoss(f"{path[:255]!r} on this disk is not what was pushed.", reason="PACKAGE_DAMAGED")
        package.golden_items()
        package.input_profile()
        return package

    @property
    def digest(self) -> str:
        """SHA-256 over the manifest: packages with equal digests are equal."""
        return manifest_digest(self.manifest())

    def manifest(self) -> registry_pb2.Manifest:
        """Every file with size and hash, sorted by path."""
        return registry_pb2.Manifest(
            model=self.description.name, files=[self.files[path] for path in sorted(self.files)]
        )

    def path(self, name: str) -> Path:
        """Where a file of the package lies. Raises NotFound for what is not part of it."""
        if name not in self.files:
            raise NotFound(f"The package {self.description.name} has no file {name[:255]!r}.")
        return self.directory / name

    def pipeline_document(self) -> dict[str, Any] | None:
        """The preprocess section, for `lepton_ai.pipeline.Pipeline.load`."""
        section = self.description.preprocess
        return None if section is None else section.model_dump(mode="json", exclude_defaults=True)

    def pipeline_files(self) -> dict[str, bytes]:
        """Content of the files that preprocess steps name. Raises ResourceExhausted for one over 16 MiB."""
        return self._named_files((self.pipeline_document() or {}).get("steps"))

    def postprocess_document(self) -> list[dict[str, Any]] | None:
        """The postprocess section, for `lepton_ai.pipeline.postprocess.Postprocess.load`."""
        return self.description.model_dump(mode="json")["postprocess"]  # type: ignore[no-any-return]

    def postprocess_files(self) -> dict[str, bytes]:
        """Content of the files that postprocess steps name. Raises ResourceExhausted for one over 16 MiB."""
        return self._named_files(self.postprocess_document())

    def input_profile(self) -> Profile | None:
        """What the training data was like; None for a package without it. Raises InvalidInput for another file."""
        # Imported late: it needs numpy, as below.
        from lepton_ai.inputs.profile import MAX_PROFILE_BYTES, Profile

        name = self.description.profile
        return None if name is None else Profile.from_json(self._read_bounded(name, "profile", MAX_PROFILE_BYTES))

    def golden_items(self) -> list[GoldenItem]:
        """The golden samples, ready to send. Raises InvalidInput when a file has changed since."""
        # Imported late: it needs numpy, which is large, and those who only name packages read no samples.
        from lepton_ai.package.golden import build_golden

        return build_golden(self.description, self._read_golden)

    def check(self) -> None:
        """Check that the pipelines load and make what the model takes. Needs the libraries that their steps use.

        Raises InvalidInput with field paths such as "preprocess.steps[2].size".
        """
        # Imported late: steps may need libraries, such as Pillow, that a thin client lacks.
        from lepton_ai.package.pipelines import check_pipelines

        with self.positions.told():
            check_pipelines(self)

    def _named_files(self, document: Any) -> dict[str, bytes]:
        names = {text for text in _texts(document) if text in self.files and text != self.description.model.file}
        return {name: self._read_bounded(name, name, _MAX_PIPELINE_FILE_BYTES) for name in sorted(names)}

    def _read_golden(self, name: str, field: str) -> bytes:
        return self._read_bounded(name, field, _MAX_GOLDEN_FILE_BYTES)

    def _read_bounded(self, name: str, field: str, max_bytes: int) -> bytes:
        if name not in self.files:
            raise InvalidInput.of_field(field, "is not a file of the package", reason="MISSING_FILE")
        if self.files[name].size_bytes > max_bytes:
            raise ResourceExhausted(f"{field}: {name} is larger than {max_bytes} bytes.", reason="FILE_TOO_LARGE")
        content = self.path(name).read_bytes()
        if hashlib.sha256(content).hexdigest() != self.files[name].sha256:
            raise DataLoss(f"{name[:255]!r} has changed since the package was read.", reason="PACKAGE_DAMAGED")
        return content


def served_files(description: Description, paths: Collection[str]) -> list[str]:
    """Those of the package's paths that serving needs: the description and what it names, wherever it does.

    What only people or training need, such as the `trained.pth` that `lepton_ai.pull` reads, is not among them.
    """
    named = {DESCRIPTION_FILE, *_texts(description.model_dump(mode="json"))}
    return sorted(named.intersection(paths))


def new_directory(directory: Path | str) -> Path:
    """A folder to be written, if it does not exist yet or is empty. Raises FailedPrecondition."""
    root = Path(directory)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FailedPrecondition(f"{root.name} is there already and not empty.", fix="Choose a new folder.")
    return root


def write_package(
    directory: Path | str, description: Description | Mapping[str, Any], files: Mapping[str, bytes | Path]
) -> Package:
    """Write a new package and read it back. The directory must not exist yet or be empty.

    `files` are contents, or files to copy, by their path in the package. Raises InvalidInput, FailedPrecondition.
    """
    root = new_directory(directory)
    described = description if isinstance(description, Description) else Description.of(description)
    for path, content in files.items():
        target = root / check_path(path, field=f"files[{path[:64]!r}]")
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            target.write_bytes(content)
        else:
            shutil.copyfile(content, target)
    text = dump_document(described.model_dump(mode="json", exclude_defaults=True))
    root.mkdir(parents=True, exist_ok=True)
    (root / DESCRIPTION_FILE).write_text(text, encoding="utf-8")
    return Package.read(root)


def copy_package(package: Package, directory: Path | str) -> Package:
    """Copy a package's files, the same to the byte, to a folder that does not exist yet or is empty, and read it.

    Raises FailedPrecondition, ResourceExhausted for a full disk.
    """
    root = new_directory(directory)
    with writing(root):
        for name in package.files:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(package.path(name), root / name)
    return Package.read(root)


def _read_description(root: Path) -> bytes:
    path = root / DESCRIPTION_FILE
    if path.is_symlink() or not path.is_file():
        raise InvalidInput.of_field(
            DESCRIPTION_FILE,
            f"is missing in {root.name}",
            fix="A package is a folder that this file describes: `lepton init MODEL_FILE` writes one, or "
            "model.package(FOLDER, name=…).",
        )
    with path.open("rb") as file:
        return file.read(MAX_DOCUMENT_BYTES + 1)


def walk(root: Path, limits: PackageLimits) -> Iterator[tuple[str, int]]:
    """Paths and sizes of the package's files. Raises InvalidInput for links and devices, ResourceExhausted for more
    than may be."""
    count = 0
    pending = [""]
    while pending:
        folder = pending.pop()
        for entry in sorted(os.scandir(root / folder), key=lambda entry: entry.name):
            if entry.name.startswith(".") or entry.name == "__pycache__":
                continue
            path = check_path(f"{folder}/{entry.name}" if folder else entry.name, field="files")
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                pending.append(path)
                continue
            if not stat.S_ISREG(status.st_mode):
                raise InvalidInput.of_field(path, "is not a regular file", fix="Replace links by what they point to.")
            count += 1
            if count > limits.max_files:
                raise ResourceExhausted(f"The package has more than {limits.max_files} files.", reason="TOO_MANY_FILES")
            yield path, status.st_size


def _hash_files(root: Path, sizes: Mapping[str, int], limits: PackageLimits) -> dict[str, registry_pb2.PackageFile]:
    """By path. Where that takes a while several at once: hashing does not hold Python's lock."""
    hash_file = partial(_hash_file, root, limits=limits)
    workers = min(len(sizes), os.cpu_count() or 1, _MOST_HASHED_AT_ONCE)
    if workers <= 1 or sum(sizes.values()) < _LITTLE_BYTES:
        return {path: hash_file(path) for path in sizes}
    with ThreadPoolExecutor(workers, thread_name_prefix="hash") as pool:
        return dict(zip(sizes, pool.map(hash_file, sizes), strict=True))


def _hash_file(root: Path, path: str, limits: PackageLimits) -> registry_pb2.PackageFile:
    with open(f"{root}/{path}", "rb", buffering=0) as file:  # noqa: PTH123 - a path for each of a thousand files costs
        size_bytes = os.fstat(file.fileno()).st_size
        if size_bytes > limits.max_file_bytes:
            raise ResourceExhausted(
                f"{path}: {size_bytes} bytes; at most {limits.max_file_bytes}.", reason="FILE_TOO_LARGE"
            )
        digest = hashlib.file_digest(file, "sha256")
        return registry_pb2.PackageFile(path=path, size_bytes=file.tell(), sha256=digest.hexdigest())


def _texts(value: Any) -> Iterator[str]:
    """Every text anywhere in a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from _texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member)
