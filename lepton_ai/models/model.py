"""The one interface of all models: fit, evaluate, predict, save, load, summary, package."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

import numpy as np
import torch
from torch import Tensor, nn

from lepton_ai.datasets import Dataset
from lepton_ai.datasets.augment.compose import Wanted, make_augment
from lepton_ai.datasets.batch import Augment
from lepton_ai.datasets.labels import one_hot_as_classes
from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.inputs.profile import Profile
from lepton_ai.models.answers import Evaluation, Predictions, answer_rows
from lepton_ai.models.checks import check, check_config
from lepton_ai.models.data import Data, Examples, as_dataset, examples_of
from lepton_ai.models.fitting.habits import EVALUATE, FIT, PREDICT, check_arguments, refuse_attribute, taking
from lepton_ai.models.fitting.options import check_metrics, plain_settings, settings_from
from lepton_ai.models.fitting.profiling import profile_inputs
from lepton_ai.models.fitting.thresholds import Thresholds, check_thresholds, set_thresholds
from lepton_ai.models.fitting.weights import ClassWeight, weigh_classes, with_sample_weight
from lepton_ai.models.golden import GoldenSample, choose_golden
from lepton_ai.models.structure.changes import Change
from lepton_ai.pipeline import Pipeline
from lepton_ai.tensors import Array
from lepton_ai.training.doctor import Doctor
from lepton_ai.training.evaluation import evaluate
from lepton_ai.training.history import History
from lepton_ai.training.interruption import Interruption
from lepton_ai.training.loop import Material, Training
from lepton_ai.training.lr_finder import LearningRateCurve, find_learning_rate
from lepton_ai.training.prepared import Prepared
from lepton_ai.training.progress import ProgressBar
from lepton_ai.training.settings import FitSettings
from lepton_ai.training.targets.multilabel import MultiLabel
from lepton_ai.training.tasks import Regression, Task

if TYPE_CHECKING:
    from lepton_ai.package import Package

_MIN_ROWS_TO_VALIDATE = 10


@dataclass(frozen=True)
class _Wanted:
    """What `fit` is asked for beside settings."""

    augment: Augment | None
    class_weight: ClassWeight | None
    metrics: tuple[str, ...]
    thresholds: Thresholds | None


class Model(ABC):
    """A network with everything around it: the pipeline that feeds it, the task that it learned, its history.

    Subclasses take plain JSON values in their constructor and hand them to `super().__init__`: that is their `config`,
    from which a saved model is built again.
    """

    defaults: ClassVar[Mapping[str, Any]] = {}
    """Settings of `fit` that suit this kind of network better than those of `FitSettings`."""

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        """Raises InvalidInput for an argument that the class does not have."""
        check_arguments(cls, options)
        return super().__new__(cls)

    def __init__(self, **config: Any) -> None:
        check_config(config)
        self.config = config
        self.pipeline: Pipeline | None = None
        """From raw inputs to the network's tensors; made by the first `fit`."""
        self.task: Task | None = None
        self.history = History()
        self.lineage: dict[str, Any] = {}
        """Which data and settings the weights come from."""
        self.golden: list[GoldenSample] = []
        """A few examples with their answers, which every served copy must give again."""
        self.input_profile: Profile | None = None
        """What was trained on, in counts; live inputs of a served copy are compared with it."""
        self.structure: list[Change] = []
        """What was changed of the network's layers since they were built."""
        self._network: nn.Module | None = None
        self._held_out: Dataset | None = None
        self._compiled: dict[str, Any] = {}
        self._figures: tuple[str, ...] = ()

    @abstractmethod
    def prepare(self, data: Dataset) -> Pipeline:
        """The pipeline for the columns of this data set, fitted to it."""

    @abstractmethod
    def define_task(self, data: Dataset) -> Task:
        """What there is to learn from this data set."""

    @abstractmethod
    def build_network(self) -> nn.Module:
        """A network with fresh weights; `pipeline` and `task` are there when its shape depends on them."""

    @property
    def network(self) -> nn.Module:
        """The PyTorch module. Raises FailedPrecondition when its shape depends on data that it has not seen yet."""
        if self._network is None:
            with torch.random.fork_rng():
                torch.manual_seed(int(self.config.get("seed", 0)))
                self._network = self.build_network().eval()
        return self._network

    @taking(FIT)
    def fit(  # noqa: PLR0913 - every one is a choice of its own
        self,
        data: Data,
        targets: Any = None,
        *,
        validation: Data | float | None = 0.1,
        augment: Wanted = None,
        class_weight: ClassWeight | None = None,
        sample_weight: Any = None,
        metrics: Iterable[str] = (),
        thresholds: Thresholds | None = None,
        **settings: Any,
    ) -> History:
        """Train on a data set. `settings` are those of `FitSettings`: epochs, batch_size, learning_rate …

        `data` may also be arrays of inputs with `targets`, a data frame or records: see `lepton_ai.models.data`.
        `validation` is a data set, or the share of the rows to put aside. `augment` varies what is trained on: some of
        `lepton_ai.datasets.augment`, or the name of a preset such as "images". `class_weight` says how much rows of a
        class count in training, by its name or number, or "balanced"; `sample_weight` how much every row does.
        `metrics` are names that must be among the task's, all of which are in the history. `thresholds`, for several
        labels a row, say from which score on a label counts, in evaluation and in answers, see `fitting.thresholds`;
        with "validation" those are taken that are best for the rows put aside. Names of other libraries are
        taken where they mean one thing, see `fitting.habits`. Called again, it goes on with the weights it has. Ctrl-C
        and SIGTERM end it after the step under way: the model keeps its best weights and its history, then
        KeyboardInterrupt is raised. Raises InvalidInput for data that cannot be learned from.
        """
        chosen = settings_from({**self.defaults, **self._compiled, **settings})
        wanted = _Wanted(make_augment(augment), class_weight, tuple(metrics) or self._figures, thresholds)
        interruption = Interruption()
        chosen = replace(chosen, callbacks=(*chosen.callbacks, interruption))
        given = self._rows_to_learn(as_dataset(data, targets), sample_weight)
        train, judge = self._split(given, validation, seed=chosen.seed)
        self._check_rows(train)
        material = self._feed(given, train, judge, wanted)
        run = self.train(material, chosen)
        if thresholds is not None and isinstance(self.task, MultiLabel):
            set_thresholds(self.task, thresholds, self.network, material.validation)
        self.history, self._held_out = run, judge
        source = json.loads(train.lineage.to_json())
        parent = {"parent": self.lineage["parent"]} if "parent" in self.lineage else {}
        self.lineage = {
            **parent,
            "data": source,
            "rows": len(train),
            "settings": {**plain_settings(chosen), "augment": str(wanted.augment or "")},
        }
        self.golden = self.choose_golden(judge if judge is not None else train)
        self.input_profile = profile_inputs(self._trained()[0], train)
        interruption.pass_on()
        return run

    @taking(FIT)
    def compile(self, optimizer: Any = None, loss: Any = None, metrics: Iterable[str] = (), **settings: Any) -> None:
        """Settings for every later `fit` that does not say otherwise, as in Keras. Raises InvalidInput."""
        given = {"optimizer": optimizer, "loss": loss, **settings}
        compiled = {name: value for name, value in given.items() if value is not None}
        settings_from({**self.defaults, **compiled})
        self._compiled, self._figures = compiled, tuple(metrics)

    def train(self, material: Material, settings: FitSettings) -> History:
        """Train the network on prepared rows: what models with ways of their own change in `fit`."""
        _, task = self._trained()
        return Training(self.network, task, material, settings, self._callbacks(settings)).fit()

    @taking(FIT)
    def find_learning_rate(self, data: Data, *, steps: int = 100, **settings: Any) -> LearningRateCurve:
        """Try learning rates on a copy of the network: the curve and a suggestion. The model stays as it is."""
        chosen, rows = settings_from({**self.defaults, **settings}), as_dataset(data)
        self._check_rows(rows)
        before = self.pipeline, self.task, self._network
        try:
            self.pipeline = self.pipeline or self.prepare(rows)
            self.task = self.task or self.define_task(rows)
            material = Material(self._prepared(rows))
            return find_learning_rate(self.network, self.task, material, chosen, steps=steps)
        finally:
            self.pipeline, self.task, self._network = before

    def choose_golden(self, data: Dataset) -> list[GoldenSample]:
        """Examples that every served copy of the model must answer alike."""
        return choose_golden(self, data)

    @taking(EVALUATE)
    def evaluate(self, data: Data, targets: Any = None, *, batch_size: int = 256) -> Evaluation:
        """Loss and main metric over a data set: `loss, accuracy = model.evaluate(test)`; by name it has all metrics."""
        _, task = self._trained()
        figures = evaluate(self.network, task, self._prepared(as_dataset(data, targets)), batch_size=batch_size)
        return Evaluation(figures, main_metric=task.main_metric)

    @taking(PREDICT)
    def predict(self, inputs: Examples, *, top_k: int = 0) -> Any:
        """What the model answers to one example (a path, bytes, a text, an array, values by input name) or to several.

        Gives a `Predicted`, or `Predictions`, a list of them, for a list, a data set, a data frame, or an array with
        one dimension more than an example has. Raises InvalidInput for unusable inputs; FailedPrecondition when the
        scores of a single example are no numbers, which among several is that one's `error`.
        """
        pipeline, task = self._trained()
        rows, are_several = examples_of(inputs, pipeline)
        answers = answer_rows(self.network, task, [pipeline.run(row) for row in rows], top_k=top_k)
        if not are_several and answers[0].error is not None:
            raise answers[0].error
        return answers if are_several else answers[0]

    def predict_proba(self, inputs: Examples) -> Array:
        """The probability of every class for several examples, [examples, classes] in the order of `classes_`.

        Raises FailedPrecondition for models without classes.
        """
        answers = self.predict(inputs)
        scores: Array = answers.scores if isinstance(answers, Predictions) else answers.scores[np.newaxis]
        return scores

    @property
    def classes_(self) -> tuple[str, ...]:
        """Names of the classes or labels, in the order of scores; no such attribute where there are none."""
        names: tuple[str, ...] | None = getattr(self.task, "classes", None)
        return refuse_attribute(self, "classes_") if names is None else names

    def score(self, data: Data, targets: Any = None) -> float:
        """How good the answers are, at most 1, as scikit-learn scores: accuracy, of numbers R², of labels exact rows.

        Raises FailedPrecondition for models that have no such figure.
        """
        _, task = self._trained()
        if not task.score:
            raise FailedPrecondition(
                f"There is no such score for {task.name}.", reason="NO_SCORE", fix="evaluate gives its figures."
            )
        return self.evaluate(data, targets).metrics[task.score]

    def state_dict(self) -> dict[str, Tensor]:
        """The network's weights by name, as PyTorch has them."""
        return dict(self.network.state_dict())

    def get_weights(self) -> list[Array]:
        """Copies of the network's weights in their order, as Keras has them."""
        return [tensor.numpy(force=True).copy() for tensor in self.network.state_dict().values()]

    def to_onnx(self, path: Path | str) -> Path:
        """Write the network alone as ONNX: it takes the tensors that `pipeline` makes. `package` has both.

        Raises InvalidInput naming what ONNX cannot express, ResourceExhausted for a full disk.
        """
        from lepton_ai.models.packaging import write_onnx

        return write_onnx(self, Path(path))

    if not TYPE_CHECKING:  # for which there are no such things

        def __call__(self, *inputs: Any) -> NoReturn:
            """Models are asked by `predict`. Raises InvalidInput."""
            raise InvalidInput(
                f"A model of class {type(self).__name__} is not called.",
                reason="NOT_CALLABLE",
                fix="model.predict(X) answers examples; model.network(tensor) is PyTorch's module.",
            )

        def __getattr__(self, name: str) -> NoReturn:
            refuse_attribute(self, name)

    def save(self, path: Path | str) -> Path:
        """Write the model to one file, whole or not at all. Loading it runs no code from it."""
        from lepton_ai.models.saving import save_model

        return save_model(self, path)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a model that `save` wrote. Raises InvalidInput when the file holds a model of another class."""
        from lepton_ai.models.saving import load_model

        model = load_model(path)
        if not isinstance(model, cls):
            raise InvalidInput(f"{Path(path).name} was saved by {type(model).__name__}, not by {cls.__name__}.")
        return model

    def package(
        self, directory: Path | str, *, name: str, description: str = "", feedback: Mapping[str, Any] | None = None
    ) -> Package:
        """Write the model as a package ready for `lepton push`: network, pipeline, labels, golden samples.

        `feedback` says which inputs the platform may keep, to train on: {"keep_inputs": True, "sample": 0.1, …}, see
        docs/feedback.md; without it none.
        """
        from lepton_ai.models.packaging import write_model_package

        return write_model_package(self, Path(directory), name=name, description=description, feedback=feedback)

    def summary(self) -> str:
        """The layers with what they put out and their weights, as a table."""
        from lepton_ai.models.summary import summarize

        return summarize(self)

    def report(self, path: Path | str, data: Data | None = None) -> Path:
        """Write one HTML page about the run: curves, confusion matrix, worst mistakes, findings, settings, lineage.

        `data` are the rows to judge by: by default those that the last `fit` kept for validation. A model that was
        loaded has none. Raises FailedPrecondition for an untrained model, ResourceExhausted for a full disk.
        """
        from lepton_ai.models.report import write_report

        return write_report(self, path, self._held_out if data is None else as_dataset(data))

    def __repr__(self) -> str:
        config = ", ".join(f"{name}={value!r}" for name, value in self.config.items())
        return f"{type(self).__name__}({config})"

    def _callbacks(self, settings: FitSettings) -> list[Any]:
        bar = None if settings.progress is False else ProgressBar()
        callbacks: list[Any] = [] if bar is None else [bar]
        if settings.doctor:
            report = None if bar is None else bar.say
            loss_falls = self.task is None or self.task.has_falling_loss
            callbacks.append(Doctor(auto=settings.auto, report=report, loss_falls=loss_falls))
        return callbacks

    def _trained(self) -> tuple[Pipeline, Task]:
        if self.pipeline is None or self.task is None:
            raise FailedPrecondition("The model has not been trained.", reason="NOT_TRAINED", fix="Call fit first.")
        return self.pipeline, self.task

    def _prepared(self, data: Dataset) -> Prepared:
        return Prepared.of(data, *self._trained())

    def _rows_to_learn(self, data: Dataset, sample_weight: Any) -> Dataset:
        """The rows with their weights, and with one-hot targets as classes, so that parts of a split share them out."""
        if sample_weight is not None:
            data = with_sample_weight(data, sample_weight)
        numbers = self.config.get("task") == "regression" or isinstance(self.task, Regression)
        return data if numbers else one_hot_as_classes(data)

    def _feed(self, data: Dataset, train: Dataset, judge: Dataset | None, wanted: _Wanted) -> Material:
        """What training needs. When the data is unusable the model stays as it was, ready for better data."""
        before = self.pipeline, self.task
        try:
            return self._material(train, judge, wanted)
        except Exception as error:
            self.pipeline, self.task = before
            if isinstance(error, InvalidInput) and train is not data:
                # fails too, and names rows by their numbers in what was given
                self._feed(data, data, None, replace(wanted, thresholds=None))
            self.pipeline, self.task = before
            raise

    def _material(self, train: Dataset, judge: Dataset | None, wanted: _Wanted) -> Material:
        self.pipeline = self.pipeline or self.prepare(train)
        self.task = self.task or self.define_task(train)
        check_metrics(wanted.metrics, self.task)
        if wanted.thresholds is not None:
            check_thresholds(wanted.thresholds, self.task, is_validated=judge is not None)
        rows = self._prepared(train)
        if wanted.class_weight is not None:
            rows = weigh_classes(rows, self.task, wanted.class_weight)
        return Material(rows, None if judge is None else self._prepared(judge), wanted.augment)

    def _split(self, data: Dataset, validation: Data | float | None, *, seed: int) -> tuple[Dataset, Dataset | None]:
        if not isinstance(validation, float | int | None):
            return data, as_dataset(validation)
        if not validation or len(data) < _MIN_ROWS_TO_VALIDATE:
            return data, None
        check("validation", validation, 0 < validation < 1, "rows, or a share between 0 and 1")
        try:
            return data.split(test=float(validation), seed=seed)
        except InvalidInput as error:
            if error.reason != "RARE_CLASS":
                raise
            fix = "Collect more of it, leave it out, or give validation data of your own or None."
            raise InvalidInput(error.message, reason=error.reason, fields=error.fields, fix=fix) from error

    def _check_rows(self, train: Dataset) -> None:
        if len(train) < 2:
            raise InvalidInput(
                f"There {'is 1 row' if len(train) else 'are no rows'} to train on.",
                reason="TOO_FEW_ROWS",
                fix="Give at least two.",
            )
