"""Triton's model repository: one immutable directory for every version, with a configuration made by us.

NAME--vN-K is the same version, loaded while Triton still had it under its other names: see `triton_name`.
NAME--vN+VARIANT is a variant of it.

NAME--vN/config.pbtxt          generated, never the user's
NAME--vN/1/model.onnx|.pt2     the package's model file (hard link where possible)
NAME--vN/1/model.py            our runner, for models that Triton's Python backend runs
NAME--vN/1/pipeline.binpb      the package's pipeline, where our runner runs it beside the model
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Literal

from lepton_ai.errors import InvalidInput, Unsupported
from lepton_ai.interchange.pbtxt import parameter, quoted, triton_type
from lepton_ai.pipeline.values import Limits
from lepton_ai.references import check_name
from lepton_ai.v1 import preprocess_pb2
from services.inference.version import TensorDescription, VersionKey

TritonBackend = Literal["python", "native"]
TritonDevice = Literal["cpu", "gpu"]
DEFAULT_BACKEND: TritonBackend = "python"
DEFAULT_DEVICE: TritonDevice = "cpu"
ModelFormat = Literal["onnx", "torch_export"]
ITEMS = "lepton.items"
"""The input that takes raw items (serialised Item messages, BYTES [n]) in place of the model's own inputs."""
RESULTS = "lepton.results"
"""The output that says what became of each of them (serialised ItemResult messages, BYTES [n])."""

_TRITON_NAME = re.compile(
    r"(?P<model>[a-z0-9][a-z0-9._-]{0,63})--v(?P<version>[1-9][0-9]{0,18})(-[1-9][0-9]{0,8})?"
    r"(\+(?P<variant>[a-z0-9][a-z0-9._-]{0,63}))?"
)
"""No name has a '+'."""
_FILE_NAMES: Mapping[str, str] = {"onnx": "model.onnx", "torch_export": "model.pt2"}
_PIPELINE_FILE = "pipeline.binpb"


def triton_name(model: str, version: int, load: int = 1, variant: str = "") -> str:
    """The name of a version, or of a variant of it, in Triton.

    Raises InvalidInput for names that must never reach a path.

    A further `load` has a name of its own: Triton 2.51 can die when a name is loaded whose old instance is still being
    taken apart, which takes seconds where a process was killed.
    """
    check_name(model, field="model")
    if version < 1:
        raise InvalidInput.of_field("version", f"{version} is not a version", fix="Versions count from 1.")
    name = f"{model}--v{version}" if load == 1 else f"{model}--v{version}-{load}"
    return f"{name}+{check_name(variant, field='variant')}" if variant else name


def parse_triton_name(name: str) -> VersionKey | None:
    """Of what a name is that `triton_name` made; None for any other."""
    match = _TRITON_NAME.fullmatch(name)
    return VersionKey(match["model"], int(match["version"]), match["variant"] or "") if match else None


@dataclass(frozen=True)
class TritonModel:
    """What Triton has to know of one version."""

    model: str
    version: int
    file: Path
    format: ModelFormat
    inputs: Sequence[TensorDescription]
    outputs: Sequence[TensorDescription]
    instances: int
    """Copies that run side by side; ≥ 1."""
    unbatched: frozenset[str] = frozenset()
    """Names of outputs that the model gives without the batch dimension."""
    weights: Sequence[Path] = ()
    """Files that must lie next to the model's."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """Hashes of these files by their names; a file without one is not compared with its own."""
    digest: str = ""
    """Digest of the package; the same name with another digest is another model."""
    pipeline: preprocess_pb2.Pipeline | None = None
    """The package's pipeline, to be run beside the model."""
    limits: Limits = field(default_factory=Limits)
    """What the pipeline allows an item."""
    wide_threads: int = 1
    """Threads for a batch that has the machine to itself; ≥ 1. More cost the memory of a second copy."""
    load: int = 1
    """Tells the loads of a version apart that Triton has at the same time."""
    variant: str = ""
    """Which variant of the version it is; empty: the version itself."""

    @property
    def triton_name(self) -> str:
        return triton_name(self.model, self.version, self.load, self.variant)

    @property
    def key(self) -> VersionKey:
        """What this is."""
        return VersionKey(self.model, self.version, self.variant)


class ModelRepository:
    """The directory that Triton reads. Calls block on the disk: use a thread. Only names made here are ever touched."""

    def __init__(
        self, directory: Path, *, backend: TritonBackend = DEFAULT_BACKEND, device: TritonDevice = DEFAULT_DEVICE
    ) -> None:
        """`backend`: "python" runs everything with our runner, "native" gives ONNX to Triton's onnxruntime backend,
        which computes on the `device`."""
        self._directory = directory
        self._backend = backend
        self._device = device

    def add(self, model: TritonModel) -> str:
        """Write the model's directory, replacing one of the same name, and return the name in Triton.

        A reader sees the old directory, none or the new one, never a part. Raises InvalidInput, Unsupported.
        """
        name = model.triton_name
        made = self._made(model)
        self._directory.mkdir(parents=True, exist_ok=True)
        with self._scratch(".new-") as temporary:
            _fill(temporary, made, _linked(model))
            self.remove(name)
            temporary.rename(self._directory / name)
        return name

    @contextlib.contextmanager
    def _scratch(self, prefix: str) -> Iterator[Path]:
        """A directory that is removed at the end of the block, and by `sweep` if this process dies before that."""
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=self._directory))
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield path
        finally:
            os.close(descriptor)
            shutil.rmtree(path, ignore_errors=True)

    def runs_items(self, model: TritonModel) -> bool:
        """Whether the model's pipeline runs beside it, so that it takes raw items."""
        return runs_items(model, self._backend)

    def has_runner(self, model: TritonModel) -> bool:
        """Whether our runner runs the model, rather than a backend of Triton's own."""
        return _backend_of(model, self._backend) == "python"

    def holds(self, model: TritonModel) -> bool:
        """Whether exactly this model is here, as this version of Lepton writes it."""
        with contextlib.suppress(OSError):
            config = (self._directory / model.triton_name / "config.pbtxt").read_text(encoding="utf-8")
            return config == self._config(model)
        return False

    def is_whole(self, model: TritonModel) -> bool:
        """Whether the files that Triton would load are these, byte for byte, and no others lie among them.

        Only whoever may write here, which is this user and root, can change them between this and Triton's reading.
        """
        directory = self._directory / model.triton_name
        made, linked = self._made(model), _linked(model)
        try:
            paths = list(directory.rglob("*"))
            found = {path.relative_to(directory).as_posix() for path in paths if not path.is_dir()}
            if found != made.keys() | linked.keys() or any(path.is_symlink() for path in paths):
                return False
            return all((directory / name).read_bytes() == content for name, content in made.items()) and all(
                _has_content(directory / name, model.sha256.get(source.name)) for name, source in linked.items()
            )
        except OSError:
            return False

    def remove(self, name: str) -> None:
        """Remove a model's directory. Raises InvalidInput for a name that is not ours; a missing one is fine."""
        if parse_triton_name(name) is None:
            raise InvalidInput.of_field("model", "is not a model of this repository")
        if not self._directory.is_dir():
            return
        with self._scratch(".old-") as doomed, contextlib.suppress(FileNotFoundError):
            (self._directory / name).rename(doomed / name)

    def names(self) -> frozenset[str]:
        """Names in Triton of everything that lies here."""
        if not self._directory.is_dir():
            return frozenset()
        return frozenset(path.name for path in self._directory.iterdir() if parse_triton_name(path.name))

    def sweep(self) -> None:
        """Remove what a crash left half-written; what another worker is writing is locked."""
        for path in (*self._directory.glob(".new-*"), *self._directory.glob(".old-*")):
            with contextlib.suppress(FileNotFoundError, BlockingIOError):
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
                finally:
                    os.close(descriptor)

    def _config(self, model: TritonModel) -> str:
        return model_config(model, backend=self._backend, device=self._device)

    def _made(self, model: TritonModel) -> dict[str, bytes]:
        """The files of a model that are made here, by their paths in its directory."""
        made = {"config.pbtxt": self._config(model).encode()}
        if _backend_of(model, self._backend) == "python":
            made["1/model.py"] = _runner()
            if model.pipeline is not None and runs_items(model, self._backend):
                made[f"1/{_PIPELINE_FILE}"] = model.pipeline.SerializeToString(deterministic=True)
        return made


def _linked(model: TritonModel) -> dict[str, Path]:
    """The files of a model that come from its package, by their paths in its directory."""
    return {f"1/{_FILE_NAMES[model.format]}": model.file} | {f"1/{path.name}": path for path in model.weights}


def _fill(directory: Path, made: Mapping[str, bytes], linked: Mapping[str, Path]) -> None:
    files = directory / "1"
    files.mkdir()
    for name, content in made.items():
        (directory / name).write_bytes(content)
    for name, source in linked.items():
        _link_or_copy(source, directory / name)
    # Triton may run as another user; mkdtemp lets only ours in.
    for path in (directory, files):
        path.chmod(0o755)


def _has_content(path: Path, sha256: str | None) -> bool:
    with path.open("rb") as file:
        return sha256 is None or hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _runner() -> bytes:
    return resources.files("services.inference.triton.runner").joinpath("model.py").read_bytes()


def _link_or_copy(source: Path, target: Path) -> None:
    """Hard links save the copy of a large model; they need one file system, and permission on some."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _backend_of(model: TritonModel, backend: TritonBackend) -> str:
    """Triton's own PyTorch backend does not read torch.export files, so the runner does on every Triton."""
    return "onnxruntime" if backend == "native" and model.format == "onnx" else "python"


def model_config(model: TritonModel, *, backend: TritonBackend, device: TritonDevice = "cpu") -> str:
    """Triton's configuration of a model, in protobuf text form.

    max_batch_size stays 0 and the dimensions hold the batch: Lepton batches, Triton must not.
    """
    chosen, items = _backend_of(model, backend), runs_items(model, backend)
    # Our runner computes on the CPU, also where Triton has a GPU.
    kind = "KIND_GPU" if device == "gpu" and chosen != "python" else "KIND_CPU"
    lines = [
        f"# package {model.digest} runner {hashlib.sha256(_runner()).hexdigest()}",
        f"name: {quoted(model.triton_name)}",
        f"backend: {quoted(chosen)}",
        "max_batch_size: 0",
        f"default_model_filename: {quoted(_FILE_NAMES[model.format] if chosen != 'python' else 'model.py')}",
        f"instance_group [{{ count: {model.instances} kind: {kind} }}]",
        *_tensors(model, chosen, items=items),
        *(parameter(key, value) for key, value in _parameters(model, chosen, items=items).items()),
    ]
    return "\n".join(lines) + "\n"


def runs_items(model: TritonModel, backend: TritonBackend) -> bool:
    """Whether a model takes raw items, so that its pipeline runs beside it."""
    reserved = any(tensor.name in (ITEMS, RESULTS) for tensor in (*model.inputs, *model.outputs))
    return model.pipeline is not None and _backend_of(model, backend) == "python" and not reserved


def _parameters(model: TritonModel, backend: str, *, items: bool) -> Mapping[str, str]:
    if backend != "python":
        return {"intra_op_thread_count": "1", "inter_op_thread_count": "1"}
    parameters = {
        "format": model.format,
        "file": _FILE_NAMES[model.format],
        "wide_threads": str(model.wide_threads),
    }
    if items:
        parameters |= {"pipeline": _PIPELINE_FILE, "limits": json.dumps(asdict(model.limits), sort_keys=True)}
    return parameters


def _tensors(model: TritonModel, backend: str, *, items: bool) -> Iterator[str]:
    for tensor in model.inputs:
        yield _tensor("input", tensor, backend, optional=items)
    if items:
        yield f"input [{{ name: {quoted(ITEMS)} data_type: TYPE_STRING dims: [-1] optional: true }}]"
    for tensor in model.outputs:
        yield _tensor("output", tensor, backend, batched=tensor.name not in model.unbatched)
    if items:
        yield f"output [{{ name: {quoted(RESULTS)} data_type: TYPE_STRING dims: [-1] }}]"


def _tensor(kind: str, tensor: TensorDescription, backend: str, *, batched: bool = True, optional: bool = False) -> str:
    if tensor.dtype == "BF16" and backend == "python":
        raise Unsupported(
            f"{kind.capitalize()} {tensor.name!r} is BF16, which this Triton set-up does not run.",
            fix="Give the model FP32 or FP16 inputs and outputs.",
        )
    shape = tensor.shape if batched else tensor.shape[1:]
    dims = ", ".join(str(int(dimension)) for dimension in shape)
    suffix = " optional: true" if optional else ""
    return f"{kind} [{{ name: {quoted(tensor.name)} data_type: {triton_type(tensor.dtype)} dims: [{dims}]{suffix} }}]"
