"""Training on several workers of a Ray cluster, from the same code as on one machine."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_ai.errors import FailedPrecondition, LeptonError

if TYPE_CHECKING:
    from lepton_ai.models.data import Data
    from lepton_ai.models.model import Model

_MODEL = "model.lepton"


def fit_on_ray(
    make_model: Callable[[], Model],
    data: Data,
    *,
    workers: int = 2,
    gpus: bool = False,
    storage: Path | str | None = None,
    **settings: Any,
) -> Model:
    """Train a model that `make_model` makes on so many Ray workers; gives the trained model.

    `settings` are those of `fit`; batch_size counts the rows of a step over all workers, so the result is that of one
    process within rounding (networks with batch norm see smaller batches). `storage` is where Ray keeps the result
    until it is read: a directory that all machines share, needed only with several machines. Raises FailedPrecondition
    without Ray, and what `fit` raises.
    """
    ray, train, torch_trainer = _import_ray()
    from lepton_ai.models.saving import load_model

    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="lepton-ray-") as own:
        trainer = torch_trainer.TorchTrainer(
            _train_worker,
            train_loop_config={"make_model": make_model, "data": ray.put(data), "settings": settings},
            scaling_config=train.ScalingConfig(num_workers=workers, use_gpu=gpus),
            run_config=train.RunConfig(storage_path=str(storage or own), name="lepton"),
        )
        try:
            result = trainer.fit()
        except train.TrainingFailedError as error:
            raise _cause(error) from error
        with result.checkpoint.as_directory() as directory:
            module = getattr(make_model(), "_module", None)  # of a wrapped module: files hold no code
            return load_model(Path(directory) / _MODEL, module=module)


def _train_worker(config: dict[str, Any]) -> None:
    """What every worker runs. Ray has joined the processes and says in the environment who is who."""
    import ray
    from ray import train

    model = config["make_model"]()
    model.fit(ray.get(config["data"]), **config["settings"])
    if train.get_context().get_world_rank() > 0:
        train.report({})
        return
    with tempfile.TemporaryDirectory(prefix="lepton-ray-") as directory:
        model.save(Path(directory) / _MODEL)
        train.report({}, checkpoint=train.Checkpoint.from_directory(directory))


def _cause(error: BaseException) -> LeptonError:
    """The error of ours that a worker raised, or one that says that there is none."""
    failures = getattr(error, "worker_failures", {})
    for failure in failures.values():
        each: BaseException | None = failure
        while each is not None:
            found = getattr(each, "cause", None)
            if isinstance(each, LeptonError) or isinstance(found, LeptonError):
                return each if isinstance(each, LeptonError) else found  # type: ignore[return-value] # checked above
            each = each.__cause__
    return FailedPrecondition("Training on the Ray workers failed; see the cause.", reason="WORKERS_FAILED")


def _import_ray() -> tuple[Any, Any, Any]:
    try:
        import ray
        import ray.train.torch
        from ray import train
    except ImportError as error:
        raise FailedPrecondition(
            "Training on a cluster needs Ray Train, which is not installed.",
            reason="NOT_INSTALLED",
            fix="pip install 'lepton-serving[ray]'",
        ) from error
    return ray, train, ray.train.torch
