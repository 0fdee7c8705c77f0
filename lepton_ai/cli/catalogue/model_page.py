"""What a version of a model takes and gives, as its package says, with a call to copy."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.catalogue.example_call import ExampleCall, example_call
from lepton_ai.cli.output import Column, print_table
from lepton_ai.errors import LeptonError
from lepton_ai.package.description import DESCRIPTION_FILE, Description, TensorSpec

if TYPE_CHECKING:
    from lepton_ai.client import Client
    from lepton_ai.v1 import registry_pb2


@dataclass(frozen=True)
class ModelPage:
    """The description of one version."""

    version: int
    description: Description
    call: ExampleCall
    answers: str
    """The kind of answer, with what it holds; known of a version that is served."""

    @classmethod
    def read(cls, client: Client, model: registry_pb2.Model) -> ModelPage:
        """The page of the newest version that is served, else of the newest one."""
        deployed = [each.version for each in model.deployment.versions]
        version = max(deployed, default=model.versions[0].version)
        with tempfile.TemporaryDirectory(prefix="lepton-") as folder:
            file = client.download(f"{model.name}@{version}", DESCRIPTION_FILE, Path(folder) / DESCRIPTION_FILE)
            description = Description.parse(file.read_bytes())
        return cls(version, description, example_call(description), _answers(client, model.name, deployed))

    def document(self) -> dict[str, Any]:
        """The page for programs."""
        outputs = [_tensor_document(spec) for spec in self.description.outputs]
        return {
            "inputs": self._inputs(),
            "outputs": outputs,
            "answers": self.answers,
            "example": self.call.document(),
        }

    def print_out(self) -> None:
        """The page for people; calls as they are copied, in lines that are never broken."""
        click.echo()
        print_table(
            [Column("", style="bold"), Column(f"{self.description.name} version {self.version}")], self._facts()
        )
        if self.call.shell:
            click.echo(f"\nTry it:\n  {self.call.shell}")
        indented = "".join(f"  {line}\n" if line else "\n" for line in self.call.python.splitlines())
        click.echo(f"\nIn Python:\n{indented}", nl=False)

    def _facts(self) -> list[tuple[str, str]]:
        inputs = [f"{name} ({kind})" for name, kind in self._inputs().items()]
        facts = [
            ("inputs", ", ".join(inputs)),
            ("outputs", ", ".join(map(_tensor_text, self.description.outputs))),
            ("answers", self.answers),
        ]
        return [fact for fact in facts if fact[1]]

    def _inputs(self) -> Mapping[str, str]:
        """Kinds of raw inputs by name; types of tensors of a model without a pipeline."""
        if self.description.preprocess is None:
            return {spec.name: f"tensor {spec.dtype} {_shape(spec)}" for spec in self.description.inputs}
        return {name: self.description.input_kind(name) for name in self.description.preprocess.inputs}


def _answers(client: Client, name: str, deployed: Sequence[int]) -> str:
    if not deployed:
        return ""
    try:
        described = client.describe(f"{name}@{max(deployed)}")
    except LeptonError:
        return ""  # it is being loaded, or cannot be: its package says the rest
    if not described.answer_kind:
        return "its outputs"
    return f"{described.answer_kind}: {described.answer}" if described.answer else described.answer_kind


def _tensor_text(spec: TensorSpec) -> str:
    return f"{spec.name} ({spec.dtype} {_shape(spec)})"


def _shape(spec: TensorSpec) -> str:
    """Without the batch dimension."""
    return str(list(spec.shape[1:]))


def _tensor_document(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape[1:])}
