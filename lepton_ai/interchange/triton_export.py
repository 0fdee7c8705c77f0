"""Packages as Triton model repositories that anybody can serve, without Lepton.

With the Python backend, which every Triton image has, `model.py` runs the model with ONNX Runtime or PyTorch; with the
`onnxruntime` backend Triton runs ONNX by itself. Pipelines stay outside: the model takes and gives tensors.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Literal

from lepton_ai.archive import writing
from lepton_ai.errors import InvalidInput
from lepton_ai.interchange.pbtxt import parameter, quoted, triton_type
from lepton_ai.package import Description, Package, TensorSpec
from lepton_ai.package.directory import new_directory

Backend = Literal["python", "onnxruntime"]
_FILES = {"onnx": "model.onnx", "torch_export": "model.pt2"}
_RUNTIMES = {"onnx": "onnxruntime", "torch_export": "torch"}


def write_triton_repository(
    package: Package, directory: Path, *, version: int = 1, backend: Backend = "python"
) -> Path:
    """Write a repository with one model into a folder that does not exist yet or is empty; returns the model's folder.

    Raises InvalidInput for what the backend does not run, FailedPrecondition for a folder with something in it,
    ResourceExhausted for a full disk.
    """
    description = package.description
    _check(description, backend)
    model = new_directory(directory) / description.name
    with writing(directory):
        _fill(package, model, version, backend)
        (directory / "README.md").write_text(_readme(package, version, backend), encoding="utf-8")
    return model


def _fill(package: Package, model: Path, version: int, backend: Backend) -> None:
    description, files = package.description, model / str(version)
    files.mkdir(parents=True)
    (model / "config.pbtxt").write_text(_config(description, backend), encoding="utf-8")
    shutil.copyfile(package.path(description.model.file), files / _FILES[description.model.format])
    for weights in description.model.weights:
        shutil.copyfile(package.path(weights), files / Path(weights).name)
    if backend == "python":
        (files / "model.py").write_bytes(resources.files("lepton_ai.inspection").joinpath("runner.py").read_bytes())


def _check(description: Description, backend: Backend) -> None:
    if backend == "onnxruntime" and description.model.format != "onnx":
        raise InvalidInput.of_field("backend", "onnxruntime runs ONNX only, this is torch.export", fix="Use python.")
    tensors = [*description.inputs, *description.outputs]
    if backend == "python" and any(tensor.dtype == "BF16" for tensor in tensors):
        raise InvalidInput.of_field("backend", "python cannot hand over BF16", fix="Use onnxruntime.")


def _config(description: Description, backend: Backend) -> str:
    batched = _batched(description)
    lines = [
        f"name: {quoted(description.name)}",
        f"backend: {quoted(backend)}",
        f"max_batch_size: {description.max_batch_size if batched else 0}",
        f"default_model_filename: {quoted('model.py' if backend == 'python' else _FILES[description.model.format])}",
        *(_tensor("input", spec, batched=batched) for spec in description.inputs),
        *(_tensor("output", spec, batched=batched) for spec in description.outputs),
        *_running(description, backend, batched=batched),
    ]
    return "\n".join(lines) + "\n"


def _batched(description: Description) -> bool:
    """Whether Triton may take the first dimension for the batch: not where an output lacks it."""
    return description.max_batch_size > 1 and not description.unbatched_outputs


def _running(description: Description, backend: Backend, *, batched: bool) -> Iterator[str]:
    if backend == "python":
        yield "instance_group [{ count: 1 kind: KIND_CPU }]"
        yield parameter("format", description.model.format)
        yield parameter("file", _FILES[description.model.format])
    elif batched:
        yield "dynamic_batching { }"


def _tensor(kind: str, spec: TensorSpec, *, batched: bool) -> str:
    """Without the batch where Triton adds it; a scalar for each row is [1] there, reshaped to nothing."""
    shape = spec.shape[1:] if batched else spec.model_shape
    dims = ", ".join(map(str, shape)) if shape else "1"
    reshape = "" if shape else " reshape: { shape: [ ] }"
    return f"{kind} [{{ name: {quoted(spec.name)} data_type: {triton_type(spec.dtype)} dims: [{dims}]{reshape} }}]"


def _readme(package: Package, version: int, backend: Backend) -> str:
    description = package.description
    tensors = "\n".join(
        f"- {kind} `{spec.name}`: {spec.dtype} {list(spec.model_shape)}"
        for kind, specs in (("input", description.inputs), ("output", description.outputs))
        for spec in specs
    )
    runtime = _RUNTIMES[description.model.format]
    needs = f"Python backend with `{runtime}` and `numpy` installed for its Python" if backend == "python" else (
        "`onnxruntime` backend"
    )  # fmt: skip
    outside = [
        f"- {what}: the `{section}` section of its `lepton.yaml` says how"
        for what, section, there in (
            ("Raw inputs become tensors before the call", "preprocess", description.preprocess),
            ("Outputs become an answer after it", "postprocess", description.postprocess),
        )
        if there is not None
    ]
    steps = "\n".join(outside) or "The package has no pipeline: callers send and get tensors."
    return f"""# {description.name}

{description.description}

A Triton model repository, made of the Lepton package with digest `{package.digest}`. Serve it with
Triton's {needs}:

    tritonserver --model-repository=$PWD

The model `{description.name}`, version {version}; the first dimension of tensors is the batch (-1 stands for any size):

{tensors}

What is not in here, because Triton runs the model alone:

{steps}
"""
