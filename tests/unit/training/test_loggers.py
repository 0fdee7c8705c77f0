"""Loggers, with the real libraries writing to real files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lepton_ai.errors import Unavailable
from lepton_ai.training.callbacks import Callback, TrainingState
from lepton_ai.training.loggers import MLflowLogger, TensorBoardLogger, _impatient
from tests.unit.training.runs import points, train


class Kill(Callback):
    """Ends a run in its second epoch as an error does."""

    def on_epoch_begin(self, state: TrainingState) -> None:
        if state.epoch == 2:
            raise KeyboardInterrupt


def test_mlflow_is_not_asked_for_minutes_unless_somebody_wants_that(monkeypatch: pytest.MonkeyPatch) -> None:
    retries, timeout = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"
    monkeypatch.setenv(timeout, "50")
    with _impatient():
        assert (os.environ[retries], os.environ[timeout]) == ("2", "50")
    assert retries not in os.environ
    assert os.environ[timeout] == "50"


def tensorboard_values(directory: Path, tag: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory)).Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_tensorboard_gets_figures_once_also_of_a_run_that_goes_on(tmp_path: Path) -> None:
    def run(*callbacks: Callback) -> list[float]:
        logger = TensorBoardLogger(tmp_path / "日志", every_steps=2)
        own = {"checkpoint": tmp_path / "state", "callbacks": [logger, *callbacks]}
        return train(None, points(), points(seed=1), epochs=3, augment=None, **own)["loss"]

    with pytest.raises(KeyboardInterrupt):
        run(Kill())
    losses = run()
    steps, values = zip(*tensorboard_values(tmp_path / "日志", "loss/training"), strict=True)
    assert steps == (4, 8, 12)
    assert values == pytest.approx(losses)
    assert [step for step, _ in tensorboard_values(tmp_path / "日志", "step/loss")] == [2, 4, 6, 8, 10, 12]
    assert len(tensorboard_values(tmp_path / "日志", "accuracy/validation")) == 3


def test_mlflow_gets_one_run_with_settings_and_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # the skinny package has no database
    uri = (tmp_path / "runs").as_uri()

    def run(*callbacks: Callback) -> tuple[MLflowLogger, list[float]]:
        logger = MLflowLogger(uri, experiment="实验", every_steps=2)
        checkpoint = tmp_path / "state"
        return logger, train(None, points(), epochs=3, checkpoint=checkpoint, callbacks=[logger, *callbacks])["loss"]

    client = MlflowClient(tracking_uri=uri)
    with pytest.raises(KeyboardInterrupt):
        run(Kill())
    experiment = client.get_experiment_by_name("实验")
    assert experiment is not None
    assert [each.info.status for each in client.search_runs([experiment.experiment_id])] == ["FAILED"]
    logger, losses = run()
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_id == logger.run_id
    assert found.info.status == "FINISHED"
    assert found.data.params["batch_size"] == "16"
    history = client.get_metric_history(logger.run_id, "loss")
    assert [(each.step, each.value) for each in history] == list(zip((4, 8, 12), losses, strict=True))


def test_an_mlflow_that_takes_no_run_is_named_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    with pytest.raises(Unavailable, match="did not take the run"):
        train(callbacks=[MLflowLogger((tmp_path / "runs").as_uri())])


def test_an_mlflow_that_fails_later_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    logger = MLflowLogger((tmp_path / "runs").as_uri())

    class Outage(Callback):
        def on_epoch_begin(self, state: TrainingState) -> None:
            def refuse(*_: object, **__: object) -> None:
                raise MlflowException("down")

            monkeypatch.setattr(MlflowClient, "log_batch", refuse)

    history = train(callbacks=[logger, Outage()])
    assert len(history) == 2
    assert [note["finding"] for note in history.notes] == ["MLflow did not answer"]
    assert "no longer sent" in caplog.text
