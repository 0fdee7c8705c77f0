"""From a trained model to one that answers: pack, push, deploy and wait until it serves."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_ai.archive import read_kind
from lepton_ai.client import Client, Deployment
from lepton_ai.errors import InvalidInput
from lepton_ai.models.families import TRAINED_FILE
from lepton_ai.models.saving import load_model
from lepton_ai.package import Package, is_packed, opened_package

if TYPE_CHECKING:
    from torch import nn

    from lepton_ai.addresses import Addresses
    from lepton_ai.models.model import Model
    from lepton_ai.reinforcement import Agent


def load(path: Path | str, *, module: nn.Module | None = None) -> Any:
    """Read what `save` wrote: a model of `lepton_ai.models`, or an agent of `lepton_ai.reinforcement`.

    A package, as a folder or packed, stands for the trained model in it. `module` is for models that `wrap` made, which
    need it. Raises NotFound, InvalidInput for another kind of file or folder, DataLoss for a damaged one.
    """
    if is_packed(path):
        with opened_package(path) as package:
            return load_model(package.directory, module=module)
    if Path(path).is_dir() or read_kind(path) != "agent":
        return load_model(path, module=module)
    from lepton_ai.reinforcement import load as load_agent

    return load_agent(path)


def deploy(
    model: Model | Agent | Package | Path | str,
    *,
    name: str = "",
    description: str = "",
    feedback: Mapping[str, Any] | None = None,
    addresses: Addresses | None = None,
    wait_s: float = 120.0,
) -> Deployment:
    """Pack a trained model or agent, or the file of one, push it as the next version of `name`, wait until it serves.

    A package, or its folder or packed file, is pushed as it is, under the name that it has; agents have one, too.
    `feedback`: which inputs of a model the platform may keep to train on, see `Model.package`.
    What this returns prints as one line. Without addresses, the platform is found as `Client` finds it. Raises
    LeptonError: the class says what went wrong.
    """
    with ExitStack() as stack:
        if isinstance(model, str | Path):
            is_package = Path(model).is_dir() or is_packed(model)
            model = stack.enter_context(opened_package(model)) if is_package else load(model)
        _check_deployable(model)
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="lepton-"))
        client = stack.enter_context(Client(addresses))
        package = _as_package(model, Path(directory) / "package", name, description, feedback)
        version = client.push(package.directory)
        return client.deploy(f"{version.model}@{version.version}", wait_s=wait_s)


def pull(model: str, *, module: nn.Module | None = None, addresses: Addresses | None = None) -> Model:
    """The trained model of a pushed version ("NAME", "NAME@3", "NAME@alias"), to train on or to build a Transfer on.

    `module` is for those that `wrap` made, which need it. Raises NotFound when there is no such version, or when it was
    not made from a model of `lepton_ai.models`.
    """
    with tempfile.TemporaryDirectory(prefix="lepton-") as directory, Client(addresses) as client:
        version = client.version(model)
        reference = f"{version.model}@{version.version}"
        pulled = load_model(client.download(reference, TRAINED_FILE, Path(directory) / TRAINED_FILE), module=module)
        pulled.lineage["parent"] = reference
        return pulled


def _check_deployable(model: object) -> None:
    if isinstance(model, Package) or hasattr(model, "package"):
        return
    is_module = hasattr(model, "forward") and hasattr(model, "state_dict")
    raise InvalidInput.of_field(
        "model",
        f"is a {type(model).__name__}, not a model, an agent, a package or the path of one",
        fix="Wrap and train it: model = la.wrap(module), model.fit(…)."
        if is_module
        else "Export it to ONNX and write a package around it: docs/packages.md.",
    )


def _as_package(
    model: Model | Agent | Package, directory: Path, name: str, description: str, feedback: Mapping[str, Any] | None
) -> Package:
    if not isinstance(model, Package):
        options = {"feedback": feedback} if feedback else {}  # which agents, that act on states, do not have
        return model.package(directory, name=name, description=description, **options)
    if feedback:
        raise InvalidInput.of_field("feedback", "is given beside a package", fix="Say it in its lepton.yaml.")
    own = model.description
    for field, given, has in (("name", name, own.name), ("description", description, own.description)):
        if given and given != has:
            raise InvalidInput.of_field(
                field, f"is {given!r}, the package has {has!r}", fix="Leave it out, or change it in lepton.yaml."
            )
    return model
