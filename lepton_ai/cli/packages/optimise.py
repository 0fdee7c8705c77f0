"""`lepton optimise`: lighter variants of a model, measured on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.catalogue.plan_options import Duration
from lepton_ai.cli.output import (
    Column,
    console,
    format_duration_s,
    json_option,
    named_home_option,
    print_json,
    print_note,
    print_table,
    running_home,
)
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from lepton_ai.optimize import Optimisation
    from lepton_ai.optimize.search.search import Progress
    from lepton_ai.package import Package


class Loss(click.ParamType[float]):
    """0.5%, in points of the metric."""

    name = "loss"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As a share."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        try:
            share = float(text.removesuffix("%")) / 100
        except ValueError:
            share = -1.0
        if not text.endswith("%") or not 0 <= share < 1:
            self.fail(f"{value!r} is no loss from 0% to 100%, such as 0.5%.", param, ctx)
        return share


@click.command(
    epilog="Examples: lepton optimise ./resnet --data ./photos · "
    "lepton optimise resnet@2 --data rows.csv --max-loss 1% --target size · "
    "lepton optimise ./mine --method int8 --budget 2m --out ./variants"
)
@click.argument("model")
@click.option("--data", type=click.Path(exists=True, path_type=Path),
              help="Rows like those that it is asked: a folder of pictures (one below it for each class), a CSV file.  "
              "[default: the golden samples]")  # fmt: skip
@click.option("--train", type=click.Path(exists=True, path_type=Path),
              help="Rows to calibrate and train with.  [default: half of --data]")  # fmt: skip
@click.option("--answer", default="", metavar="COLUMN", help="Column of the CSV file with the right answers.  "
              "[default: the one that holds the model's labels]")  # fmt: skip
@click.option("--max-loss", type=Loss(), default=0.005, show_default="0.5%", help="Of the metric, in points.")
@click.option("--target", type=click.Choice(["latency", "throughput", "size", "memory"]), default="latency",
              show_default=True, help="What is to be better.")  # fmt: skip
@click.option("--budget", "budget_s", type=Duration(), default=600.0, show_default="10m",
              help="Nothing is begun after it.")  # fmt: skip
@click.option("--method", "methods", multiple=True, metavar="NAME", help="Only this one; may be given again.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder of the search, which goes on "
              "there after a kill.  [default: MODEL-variants]")  # fmt: skip
@click.option("--again", "variant", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="VARIANT",
              help="Only measure this variant of MODEL again, which was measured on another processor.")  # fmt: skip
@click.option("--push", "push_as", type=click.Choice(["variant", "version"]),
              help="Push the best one: as a variant of the version that it was made of, or as the next.")  # fmt: skip
@click.option("--ray", default="", metavar="ADDRESS", help="Try candidates on the machines of this Ray cluster that "
              "have this machine's processor, one each at a time; auto: the one that this machine is in.")  # fmt: skip
@click.option("--ladder", is_flag=True, help="Only measure MODEL itself, by rows a call, threads and calls at once.")
@json_option
@named_home_option
def optimise(
    model: str,
    *,
    data: Path | None,
    train: Path | None,
    answer: str,
    max_loss: float,
    target: str,
    budget_s: float,
    methods: tuple[str, ...],
    out: Path | None,
    variant: Path | None,
    push_as: str | None,
    ray: str,
    ladder: bool,
    as_json: bool,
    home: Path | None,
) -> int:
    """Make lighter variants of MODEL and measure each here: speed, accuracy, size, memory.

    MODEL is a package (folder or packed file), or NAME, NAME@VERSION or NAME@ALIAS of the registry. Each variant is a
    package of its own, to `lepton check`, `push` and `deploy`. Ends with 1 when none within the bound is better.
    """
    from lepton_ai.cli.packages.source import opened_source
    from lepton_ai.optimize import optimise as search

    if push_as and variant is not None:
        raise click.UsageError("--push is for the best of a search: push what was measured again with `lepton push`.")
    with opened_source(model, home, quiet=as_json) as source, _progress(shown=not as_json) as on_progress:
        if variant is not None:
            return _measure_again(source.package, variant, data, max_loss, answer, as_json=as_json)
        if push_as == "variant" and source.version is None:
            raise click.UsageError("--push variant needs a version of the registry: NAME@VERSION in place of a path.")
        if ladder:
            return _climb(source.package, data, as_json=as_json)
        folder = out or Path(f"{source.package.description.name}-variants")
        found = search(
            source.package,
            data,
            train=train,
            answer=answer,
            max_loss=max_loss,
            target=target,  # type: ignore[arg-type] # one of the choices
            budget_s=budget_s,
            methods=methods,
            out=folder,
            ray=ray,
            on_progress=on_progress,
        )
    if as_json:
        print_json(found.document())
    else:
        _print(found)
    if found.best is None:
        return 1
    if push_as:
        _push(found, push_as, source.version, home)
    return 0


def _push(found: Optimisation, push_as: str, version: int | None, home: Path | None) -> None:
    """Push the best variant, under the name of its method."""
    assert found.best is not None  # noqa: S101 - the caller has looked
    original = f"{found.model}@{version}" if push_as == "variant" else ""
    with client_for(running_home(home)) as client:
        pushed = client.push(found.folder.variant(found.best.name), variant_of=original)
    became = f"a variant of version {pushed.version}" if original else f"version {pushed.version}"
    click.echo(f"{found.best.name} is {became} of {pushed.model}.", err=True)


def _measure_again(
    original: Package, variant: Path, data: Path | None, max_loss: float, answer: str, *, as_json: bool
) -> int:
    from lepton_ai.optimize import measure_again
    from lepton_ai.package import Package

    again = measure_again(original, Package.read(variant), data, max_loss=max_loss, answer=answer)
    measured = again.description.optimised
    assert measured is not None  # noqa: S101 - it was just written
    if as_json:
        print_json(measured.model_dump(mode="json"))
    else:
        click.echo(f"{measured.method}: {measured.speed_up:.2f} ×, loss {measured.loss:.2%}, on {measured.cpu}.")
    return 0


def _climb(package: Package, data: Path | None, *, as_json: bool) -> int:
    from dataclasses import asdict

    from lepton_ai.optimize import best_rung, measure_ladder

    rungs = measure_ladder(package, data)
    best = best_rung(rungs)
    if as_json:
        print_json({"rungs": [asdict(rung) for rung in rungs], "best": asdict(best)})
        return 0
    columns = [Column(title, "right") for title in ("Rows", "Threads", "At once", "Call", "Rows a second")]
    print_table(columns, [
        (str(rung.batch), str(rung.threads), str(rung.instances), f"{rung.call_ms:.3g} ms", f"{rung.rows_per_s:,.0f}")
        for rung in rungs
    ])  # fmt: skip
    told = f"{best.batch} rows a call on {best.threads} threads, {best.instances} calls at once"
    click.echo(f"Best: {told}. In lepton.yaml that is max_batch_size and instances.", err=True)
    return 0


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A bar on a terminal, a line a candidate elsewhere."""
    if not shown:
        yield None
        return
    out = console(stderr=True)
    if not out.is_terminal:
        yield lambda progress: _say(progress)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TextColumn("{task.fields[left]}"), TimeElapsedColumn())  # fmt: skip
    with Bar(*columns, console=out, transient=True) as bar:
        task = bar.add_task("Preparing rows", total=None, left="")

        def show(progress: Progress) -> None:
            left = f"about {format_duration_s(progress.left_s)} left" if progress.left_s else ""
            bar.update(task, description=progress.next or "…", total=progress.total, completed=progress.done, left=left)
            if progress.trial is not None:
                bar.console.print(_line(progress), markup=False)

        yield show


def _say(progress: Progress) -> None:
    if progress.trial is not None:
        click.echo(_line(progress), err=True)


def _line(progress: Progress) -> str:
    trial = progress.trial
    assert trial is not None  # noqa: S101 - callers have looked
    found = trial.problem
    if trial.measured is not None:
        speed, loss = trial.measured.speed, trial.measured.accuracy.loss
        found = f"{speed.time_ms:.3g} ms, {speed.ratio.value:.2f} ×, loss {loss.value * 100:.2f} points"
    took = format_duration_s(trial.duration_s)
    return f"[{progress.done}/{progress.total}] {trial.name}: {found} ({trial.state}, {took})"


def _print(found: Optimisation) -> None:
    from lepton_ai.optimize.report.table import TITLES, rows_of

    columns = [Column(title, "left" if title in (TITLES[0], TITLES[-1]) else "right") for title in TITLES]
    print_table(columns, rows_of(found))
    for note in found.notes:
        click.echo(f"· {note}", err=True)
    best = found.best
    if best is None:
        tried = any(not trial.is_original for trial in found.trials)
        print_note(f"No variant {'within the bound is better than the original' if tried else 'was tried'}.")
    else:
        place = found.folder.variant(best.name)
        click.echo(f"Best: {best.name}. Look at it: lepton check {place}; serve it: lepton push {place}", err=True)
    click.echo(f"Picture: {found.folder.report}", err=True)
