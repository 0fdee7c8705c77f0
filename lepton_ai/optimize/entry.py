"""`la.optimise`: from a model or package to variants of it that are measured on this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_ai.errors import InvalidInput, Unsupported
from lepton_ai.models.families import TRAINED_FILE
from lepton_ai.optimize.measure.cpu import this_cpu
from lepton_ai.optimize.methods import find_method
from lepton_ai.optimize.portions import Portions, portion
from lepton_ai.optimize.recording import record
from lepton_ai.optimize.result import Optimisation, notes_on
from lepton_ai.optimize.search.search import OnProgress, Search
from lepton_ai.optimize.search.space import single_methods
from lepton_ai.optimize.search.task import Folder, Target, Task, check_target
from lepton_ai.package import Package, copy_package, opened_package

if TYPE_CHECKING:
    from lepton_ai.models.data import Data
    from lepton_ai.models.model import Model


def optimise(  # noqa: PLR0913 - every one is a choice of its own
    model: Model | Package | Path | str,
    data: Data | Path | str | None = None,
    *,
    train: Data | Path | str | None = None,
    max_loss: float = 0.005,
    target: Target = "latency",
    budget_s: float = 600.0,
    methods: Sequence[str] = (),
    out: Path | str | None = None,
    ray: str = "",
    answer: str = "",
    on_progress: OnProgress | None = None,
) -> Optimisation:
    """Make variants of a model that are lighter, and measure each for speed, accuracy, size and memory here.

    `model`: a trained model, a package, or the path of one. `data`: rows like those that it is asked, with the right
    answers if there are any: a data set, whatever `fit` takes, a folder of pictures, a CSV file. Half of them
    calibrates and trains, the rest judges; with `train`, rows of their own, all of `data` judges, which is right where
    the model has seen some of the rows. Without any, the golden samples must do. `max_loss`: what a variant may lose of
    the metric (0.005: half a point). `methods`: only these, of `lepton_ai.optimize.methods`. `out`: folder of the
    search, which goes on where it was when the same is asked again; a new one of the system's by default. `ray`:
    address of a Ray cluster ("auto": this machine's), whose machines with this processor then try the candidates, one
    each at a time. `answer`: the column of a CSV file with the right answers; by default the one that holds the model's
    labels and is no input.

    Each candidate is made and measured in a process of its own, at low priority; the original is only read. Raises
    InvalidInput for data that the model does not take, Unsupported for a model that is no ONNX, FailedPrecondition
    when `out` is another search's or no machine of the cluster has this processor, Unavailable without it,
    ResourceExhausted for a full disk. That no variant meets the bound is no error: `best` is None.
    """
    check_target(target)
    for name in methods:
        find_method(name)
    if not 0 <= max_loss < 1:
        raise InvalidInput.of_field(
            "max_loss", f"is {max_loss}, must be a share from 0 to 1", fix="0.005 is half a point."
        )
    folder = Folder(Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="lepton-optimise-")))
    with ExitStack() as stack:
        original = _opened(model, stack)
        _check_format(original)
        portions = portion(original, data, train, answer=answer)
        task = Task(original.digest, portions.digest, target, max_loss, this_cpu())
        search = _search(folder, task, on_progress, ray, stack)
        lay_out(folder, original, portions)
        trainable = portions.are_trainable and TRAINED_FILE in original.files
        pictures = portions.sent is not None
        candidates = single_methods(task.cpu, trainable=trainable, pictures=pictures, methods=methods)
        trials = search.run(candidates, budget_s=budget_s)
    notes = notes_on(trials, portions, max_loss)
    for trial in trials:
        record(folder, task, trial)
    found = Optimisation(original.description.name, task, tuple(trials), folder, tuple(notes))
    found.save_report()
    return found


def _check_format(original: Package) -> None:
    """Raise Unsupported for a model that is not ONNX, which is all that variants are made of."""
    if original.description.model.format != "onnx":
        raise Unsupported(
            f"Variants are made of ONNX, and {original.description.name} holds a torch.export archive.",
            reason="NOT_ONNX",
            fix="`lepton convert MODEL FOLDER --to onnx` writes model.onnx: put it into the package in place of the "
            "archive, with `model: {file: model.onnx, format: onnx}` in its lepton.yaml.",
        )


def _search(folder: Folder, task: Task, on_progress: OnProgress | None, ray: str, stack: ExitStack) -> Search:
    if not ray:
        return Search(folder, task, on_progress=on_progress)
    from lepton_ai.optimize.search.cluster import Machines

    machines = stack.enter_context(Machines(ray, task.cpu))
    return Search(folder, task, on_progress=on_progress, worker=machines.work, at_once=machines.count)


def _opened(model: Any, stack: ExitStack) -> Package:
    """The package, of a model one that lasts as long as the stack."""
    if isinstance(model, Package):
        return model
    if isinstance(model, str | Path):
        return stack.enter_context(opened_package(model))
    if not hasattr(model, "package"):
        raise InvalidInput.of_field("model", f"is a {type(model).__name__}, not a model, a package or the path of one")
    place = stack.enter_context(tempfile.TemporaryDirectory(prefix="lepton-"))
    package: Package = model.package(Path(place) / "package", name=type(model).__name__.lower())
    return package


def lay_out(folder: Folder, original: Package, portions: Portions) -> None:
    """Write what the trials' processes read."""
    if not folder.original.exists():
        with tempfile.TemporaryDirectory(prefix=".original-", dir=folder.path) as place:
            copy_package(original, Path(place) / "package").directory.rename(folder.original)
    folder.write_rows(portions.calibration, portions.judged)
    if portions.train is not None and not folder.data.exists():
        portions.train.save(folder.data)
    if portions.sent is not None and not folder.sent.exists():
        portions.sent.save(folder.sent)
