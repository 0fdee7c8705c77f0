"""Transfer learning: a network that was trained before, with a new last layer for other classes, or for numbers."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lepton_ai.datasets import Dataset
from lepton_ai.errors import FailedPrecondition, InvalidInput, NotFound
from lepton_ai.models.checks import check
from lepton_ai.models.efficientnet import EFFICIENTNETS, EfficientPictures, picture_steps
from lepton_ai.models.fitting.purpose import Purpose, TaskName, choose_task
from lepton_ai.models.mlp import Standardized
from lepton_ai.models.model import Model
from lepton_ai.models.preparation import fit_pipeline, only_column
from lepton_ai.models.saving import find_family, load_model
from lepton_ai.pipeline import Pipeline
from lepton_ai.training.history import History
from lepton_ai.training.loop import Material
from lepton_ai.training.selection import make_selection
from lepton_ai.training.settings import FitSettings
from lepton_ai.training.tasks import Classification, Regression, Task, task_from_document

_LEAST_SIDE = 32
_RENAMED_KINDS = ("image", "sound", "text")


class Transfer(Model):
    """Answers by what another network has learned: it is frozen under a new last layer, then trained on gently.

    `base` is "efficientnet-lite0" to "-lite4" (real ImageNet weights, from the packages of that name), or a trained
    classifier or the file of one, whose pipeline is used as it is. The first `unfreeze_after` epochs train the last
    layer alone, those after them everything with `unfrozen_rate` times the learning rate; None never unfreezes. `side`
    is that of EfficientNet's pictures: smaller is faster and sees less. Without `task`, a target of numbers means
    regression.
    """

    def __init__(
        self,
        base: str | Path | Model | Mapping[str, Any] = "efficientnet-lite0",
        *,
        task: TaskName | None = None,
        side: int = 224,
        unfreeze_after: int | None = 3,
        unfrozen_rate: float = 0.1,
        dropout: float = 0.2,
        seed: int = 0,
    ) -> None:
        """`base` as a mapping is what a saved Transfer says of the architecture; its weights come with the file."""
        self._source: Model | None = None
        if not isinstance(base, Mapping) and str(base) not in EFFICIENTNETS:
            self._source = _classifier(base)
            base = _architecture(self._source)
        super().__init__(
            base=base if isinstance(base, str) else dict(base),  # type: ignore[arg-type] # paths are gone by now
            task=task,
            side=side,
            unfreeze_after=unfreeze_after,
            unfrozen_rate=unfrozen_rate,
            dropout=dropout,
            seed=seed,
        )
        check("side", side, side >= _LEAST_SIDE, "at least 32")
        check("unfreeze_after", unfreeze_after, unfreeze_after is None or unfreeze_after >= 0, "at least 0, or None")
        check("unfrozen_rate", unfrozen_rate, unfrozen_rate > 0, "greater than 0")
        self._is_fresh = False

    def prepare(self, data: Dataset) -> Pipeline:
        self._is_fresh = True  # from here on somebody trains: the base needs its weights
        base = self.config["base"]
        if isinstance(base, str):
            column = only_column(data, "image")
            return fit_pipeline([column], picture_steps(column.name, self.config["side"]), data)
        if self._source is None or self._source.pipeline is None:
            raise FailedPrecondition(
                "The base network's weights are not there.", fix="Make the Transfer with the file of its base."
            )
        return _for_columns(self._source.pipeline, data)

    def define_task(self, data: Dataset) -> Task:
        return choose_task(data, self.config["task"])

    def build_network(self) -> nn.Module:
        if self.pipeline is None or not isinstance(self.task, Purpose):
            raise FailedPrecondition(
                "The last layer depends on the targets of the data.", reason="NOT_TRAINED", fix="Call fit first."
            )
        network = TransferNetwork(self._base_network(), self.task.width, self.config["dropout"])
        return Standardized(network, self.task) if isinstance(self.task, Regression) else network

    def train(self, material: Material, settings: FitSettings) -> History:
        """The last layer alone, then everything. Ends with the best epoch of both, as every run does."""
        network = self.network.network if isinstance(self.network, Standardized) else self.network
        assert isinstance(network, TransferNetwork)  # noqa: S101 - build_network makes no other
        after = self.config["unfreeze_after"]
        alone = settings.epochs if after is None else min(after, settings.epochs)
        first = History()
        if alone:
            network.freeze()
            first = super().train(material, _phase(settings, "last-layer", epochs=alone))
        if alone == settings.epochs or (first.ended and settings.patience is None):
            return first
        weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        network.unfreeze()
        rate = settings.learning_rate * self.config["unfrozen_rate"]
        second = super().train(
            material, _phase(settings, "everything", epochs=settings.epochs - alone, learning_rate=rate)
        )
        joined = self._joined(first, second, settings)
        if joined.best_epoch is not None and joined.best_epoch <= len(first) and settings.keep_best:
            network.load_state_dict(weights)
        return joined

    def _joined(self, first: History, second: History, settings: FitSettings) -> History:
        _, task = self._trained()
        epochs = [*first.epochs, *second.epochs]
        judged = bool(epochs) and any(name.startswith("validation_") for name in epochs[0])
        history = History(epochs, [*first.notes, *second.notes], ended=second.ended)
        if judged:
            selection = make_selection(replace(settings, keep_best=False), task, is_validated=True)
            for epoch, figures in enumerate(epochs, 1):
                selection.saw(epoch, figures, self.network)
            history.best_epoch = selection.best_epoch
        return history

    def _base_network(self) -> nn.Module:
        base = self.config["base"]
        if isinstance(base, str):
            return EfficientPictures(base, self.config["side"], with_weights=self._is_fresh)
        if self._source is not None:
            return copy.deepcopy(self._source.network)
        model = find_family(str(base["class"]))(**base["config"])
        model.pipeline, model.task = self.pipeline, task_from_document(base["task"])
        return model.build_network()


class TransferNetwork(nn.Module):
    """Another network whose last linear layer is a new one."""

    def __init__(self, base: nn.Module, answers: int, dropout: float) -> None:
        super().__init__()
        self.base = base
        self._head_path = _replace_last_layer(base, answers, dropout)
        self._is_frozen = False

    @property
    def head(self) -> nn.Module:
        """The new last layer, which stands in the base where the old one stood."""
        return self.base.get_submodule(self._head_path)

    def forward(self, *inputs: Tensor) -> Tensor:
        answers: Tensor = self.base(*inputs)
        return answers

    def freeze(self) -> None:
        """Train nothing but the last layer; also running means of batch norm stay as they are."""
        self._is_frozen = True
        self.base.requires_grad_(False)
        self.head.requires_grad_(True)

    def unfreeze(self) -> None:
        """Train everything."""
        self._is_frozen = False
        self.base.requires_grad_(True)

    def train(self, mode: bool = True) -> TransferNetwork:
        super().train(mode)
        if self._is_frozen:
            self.base.eval()
            self.head.train(mode)
        return self


def _replace_last_layer(base: nn.Module, answers: int, dropout: float) -> str:
    """Put a new layer for so many answers in the place of the last linear one; gives the path of that place."""
    linear = [(name, layer) for name, layer in base.named_modules() if isinstance(layer, nn.Linear)]
    if not linear:
        raise InvalidInput("The base network has no linear layer that could be replaced.", reason="NO_LAST_LAYER")
    path: str = linear[-1][0]
    last = linear[-1][1]
    parent, _, name = path.rpartition(".")
    setattr(base.get_submodule(parent), name, nn.Sequential(nn.Dropout(dropout), nn.Linear(last.in_features, answers)))
    return path


def _classifier(base: str | Path | Model) -> Model:
    model = base if isinstance(base, Model) else _read(base)
    model._trained()
    if not isinstance(model.task, Classification):
        raise InvalidInput(
            f"The base is a {type(model).__name__} for {model.task.name if model.task else 'nothing'}; its last layer "
            "cannot become one for classes.",
            reason="NOT_A_CLASSIFIER",
            fix="Give the file of a classifier, or one of " + ", ".join(EFFICIENTNETS) + ".",
        )
    return model


def _read(path: str | Path) -> Model:
    try:
        return load_model(path)
    except NotFound as error:
        names = ", ".join(EFFICIENTNETS)
        raise NotFound(error.message, fix=f"Name a file that `save` has written, or one of {names}.") from None


def _architecture(model: Model) -> dict[str, Any]:
    assert model.task is not None  # noqa: S101 - a saved model has one
    return {"class": type(model).__name__, "config": model.config, "task": model.task.document()}


def _for_columns(pipeline: Pipeline, data: Dataset) -> Pipeline:
    """The base's pipeline. A single picture, sound or text may have another name than it had there."""
    columns = data.schema.inputs
    names = {column.name for column in columns}
    if set(pipeline.inputs) <= names:
        return pipeline
    (old, kind), *others = pipeline.inputs.items()
    if others or kind not in _RENAMED_KINDS or [column.kind for column in columns] != [kind]:
        missing = ", ".join(sorted(set(pipeline.inputs) - names))
        raise InvalidInput(
            f"The base network also takes {missing}, which the data set does not have.",
            reason="WRONG_COLUMNS",
            fix="Give it the columns that the base was trained on.",
        )
    document = json.loads(pipeline.document_json)
    document["inputs"] = {columns[0].name: kind}
    for step in document["steps"]:
        if step.get("input") == old:
            step["input"] = columns[0].name
            break  # what comes after it takes results
    return Pipeline.load(document, dict(pipeline.to_proto().files))


def _phase(settings: FitSettings, name: str, **changes: Any) -> FitSettings:
    checkpoint = None if settings.checkpoint is None else Path(settings.checkpoint) / name
    return replace(settings, checkpoint=checkpoint, **changes)
