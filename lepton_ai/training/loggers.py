"""Loggers of a run as callbacks: TensorBoard event files, and runs of an MLflow server."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import Tensor

from lepton_ai.errors import FailedPrecondition, Unavailable
from lepton_ai.training.callbacks import Callback, TrainingState

_VALIDATION = "validation_"
_PLAIN = (str, int, float, bool)
_SENT_AT_ONCE = 500
"""Metrics of one request; MLflow takes at most 1,000."""
_RETRIES, _TIMEOUT_S = 2, 10

_log = logging.getLogger(__name__)


class TensorBoardLogger(Callback):
    """Writes event files: loss and learning rate every so many steps, all figures after every epoch.

    `tensorboard --logdir DIRECTORY` shows them, training and validation of a figure side by side. A run that goes on
    after a kill goes on in the same directory, and what it does again replaces what it did before.
    """

    def __init__(self, directory: Path | str, *, every_steps: int = 20) -> None:
        self._directory, self._every_steps = Path(directory), every_steps
        self._writer: Any = None
        self._notes = 0

    def on_fit_begin(self, state: TrainingState) -> None:
        """Raises FailedPrecondition when TensorBoard is not installed."""
        if not state.is_first:
            return
        with _quiet(), _installed("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._directory), purge_step=state.step + 1 if state.step else None)
        self._notes = len(state.history.notes)

    def on_batch_end(self, state: TrainingState) -> None:
        if self._writer is None or state.step % self._every_steps:
            return
        for name, value in _step_figures(state).items():
            self._writer.add_scalar(f"step/{name}", value, state.step)

    def on_epoch_end(self, state: TrainingState) -> None:
        if self._writer is None:
            return
        for name, value in state.figures.items():
            part = "validation" if name.startswith(_VALIDATION) else "training"
            self._writer.add_scalar(f"{name.removeprefix(_VALIDATION)}/{part}", value, state.step)
        for note in state.history.notes[self._notes :]:
            self._writer.add_text("findings", f"{note['finding']}: {note.get('message') or note['advice']}", state.step)
        self._notes = len(state.history.notes)
        self._writer.flush()

    def on_fit_end(self, state: TrainingState) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class MLflowLogger(Callback):
    """Makes a run of an MLflow server: settings as parameters, figures of epochs and some steps as metrics.

    `tracking_uri` is the server's, such as "http://mlflow:5000". A run that goes on after a kill goes on in the same
    MLflow run. A server that stops answering does not stop the training: that is logged and noted in the history.
    """

    def __init__(
        self, tracking_uri: str, *, experiment: str = "lepton", run_name: str = "", every_steps: int = 20
    ) -> None:
        self._tracking_uri, self._experiment, self._run_name = tracking_uri, experiment, run_name
        self._every_steps = every_steps
        self._client: Any = None
        self._waiting: list[tuple[str, float, int, int]] = []
        self.run_id = ""
        """Of the MLflow run, once there is one."""

    def on_fit_begin(self, state: TrainingState) -> None:
        """Raises FailedPrecondition when MLflow is not installed, Unavailable when its server does not take the run."""
        if not state.is_first:
            return
        with _quiet(), _installed("mlflow-skinny"):
            from mlflow.exceptions import MlflowException
            from mlflow.tracking import MlflowClient
        try:
            with _quiet(), _impatient():
                self._client = MlflowClient(tracking_uri=self._tracking_uri)
                self._begin(state)
        except (MlflowException, ImportError, OSError) as error:
            self._client = None
            raise Unavailable(
                "The MLflow server did not take the run.",
                reason="MLFLOW",
                fix="Check tracking_uri. MLflow keeps runs in local files only with its full package.",
            ) from error

    def on_batch_end(self, state: TrainingState) -> None:
        if self._client is not None and state.step % self._every_steps == 0:
            self._add("step_", _step_figures(state), state.step)

    def on_epoch_end(self, state: TrainingState) -> None:
        if self._client is None:
            return
        self._add("", state.figures, state.step)
        waiting, self._waiting = self._waiting, []
        with self._noting(state):
            from mlflow.entities import Metric

            metrics = [Metric(*each) for each in waiting]
            for start in range(0, len(metrics), _SENT_AT_ONCE):
                self._client.log_batch(self.run_id, metrics=metrics[start : start + _SENT_AT_ONCE])

    def on_fit_end(self, state: TrainingState) -> None:
        if self._client is None:
            return
        is_whole = bool(state.stop_reason) or len(state.history) >= state.settings.epochs
        with self._noting(state):
            for note in state.history.notes[-20:]:
                self._client.set_tag(self.run_id, f"finding.{note['finding']}", str(note.get("message", ""))[:500])
            self._client.set_terminated(self.run_id, status="FINISHED" if is_whole else "FAILED")
        self._client = None

    def document(self) -> dict[str, Any]:
        return {"run_id": self.run_id}

    def restore(self, document: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        self.run_id = str(document.get("run_id", ""))

    def _begin(self, state: TrainingState) -> None:
        """Go on with the run that was restored, or make one."""
        if self.run_id:
            self._client.update_run(self.run_id, status="RUNNING")
            return
        found = self._client.get_experiment_by_name(self._experiment)
        experiment_id = found.experiment_id if found else self._client.create_experiment(self._experiment)
        self.run_id = self._client.create_run(experiment_id, run_name=self._run_name or None).info.run_id
        from mlflow.entities import Param

        self._client.log_batch(self.run_id, params=[Param(*pair) for pair in _parameters(state).items()])

    def _add(self, prefix: str, figures: Mapping[str, float], step: int) -> None:
        now_ms = time.time_ns() // 1_000_000
        finite = {name: value for name, value in figures.items() if math.isfinite(value)}
        self._waiting += [(prefix + name, value, now_ms, step) for name, value in finite.items()]

    @contextmanager
    def _noting(self, state: TrainingState) -> Iterator[None]:
        """What MLflow refuses here ends the logging, not the training."""
        from mlflow.exceptions import MlflowException

        try:
            with _quiet(), _impatient():
                yield
        except (MlflowException, OSError) as error:
            self._client = None
            _log.warning("MLflow did not take the figures; they are no longer sent: %s", error)
            state.note("MLflow did not answer", advice="The rest of this run is not in MLflow; its history is whole.")


def _step_figures(state: TrainingState) -> dict[str, float]:
    figures = {"loss": state.loss, "learning_rate": state.learning_rate}
    return figures if state.gradient_norm is None else {**figures, "gradient_norm": state.gradient_norm}


def _parameters(state: TrainingState) -> dict[str, str]:
    values = {field.name: getattr(state.settings, field.name) for field in fields(state.settings)}
    return {name: str(value) for name, value in values.items() if isinstance(value, _PLAIN)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Warnings of these libraries about themselves are nothing that a person who trains can do anything about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _impatient() -> Iterator[None]:
    """A server that does not answer holds up the training for seconds: by itself MLflow asks again for four minutes.

    MLflow takes these only from the environment; what somebody has set there stays.
    """
    from mlflow import environment_variables

    known: Any = environment_variables
    limits = {known.MLFLOW_HTTP_REQUEST_MAX_RETRIES: _RETRIES, known.MLFLOW_HTTP_REQUEST_TIMEOUT: _TIMEOUT_S}
    ours = {variable: value for variable, value in limits.items() if not variable.is_set()}
    for variable, value in ours.items():
        variable.set(value)
    try:
        yield
    finally:
        for variable in ours:
            variable.unset()


@contextmanager
def _installed(package: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise FailedPrecondition(
            f"{package} is not installed.", reason="NOT_INSTALLED", fix=f"Run: pip install {package}"
        ) from error
