"""`lepton check`: whether a package would be accepted and would answer rightly, found out on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.output import (
    Column,
    format_duration_s,
    format_size_bytes,
    json_option,
    print_json,
    print_note,
    print_table,
    style_state,
)

if TYPE_CHECKING:
    from lepton_ai.package import Package


@dataclass(frozen=True)
class Finding:
    """What one check found; without a problem all is well."""

    check: str
    problem: str = ""
    fix: str = ""
    duration_s: float = 0.0


@click.command(epilog="Examples: lepton check ./resnet · lepton check resnet.lepton --json · lepton check . --no-run")
@click.argument("package", type=click.Path(exists=True, path_type=Path))
@click.option("--no-run", is_flag=True, help="Only look at the files; do not run the model.")
@json_option
def check(package: Path, *, no_run: bool, as_json: bool) -> int:
    """Check PACKAGE, a folder or a packed file, as the registry does at a push, and run it with its golden samples.

    Ends with 1 when something is wrong. Errors in lepton.yaml name line and column.
    """
    from lepton_ai.package import opened_package

    document: dict[str, Any] = {}
    findings: list[Finding] = []
    with _reported("package", findings), opened_package(package) as opened:
        findings.append(Finding("package"))
        document = _about(opened)
        findings += _look(opened, run=not no_run)
    ok = not any(finding.problem for finding in findings)
    if as_json:
        print_json({"ok": ok, **document, "checks": [asdict(finding) for finding in findings]})
    else:
        _print(document, findings, ran=not no_run)
    return 0 if ok else 1


def _look(package: Package, *, run: bool) -> Iterator[Finding]:
    from lepton_ai.inspection.structure import inspect_package
    from lepton_ai.optimize.measure.cpu import check_cpu, this_cpu

    found: list[Finding] = []
    with _reported("model and pipelines", found):
        inspect_package(package.directory, hashed=package.manifest())
    yield from found or [Finding("model and pipelines")]
    if found or not run:
        return
    if package.description.optimised is not None:
        with _reported("processor", found):
            check_cpu(package.description.optimised.flags, this_cpu())
        yield from found or [Finding("processor")]
        found.clear()
    with _reported("run", found):
        yield from _dry_run(package)
    yield from found


def _dry_run(package: Package) -> Iterator[Finding]:
    from lepton_ai.inspection.dry_run import DryRun

    for tried in DryRun(package).try_samples():
        position = package.positions.find(tried.sample)
        problem = f"{tried.problem} ({position})" if tried.problem and position else tried.problem
        yield Finding(tried.sample, problem, duration_s=tried.duration_s)


@contextmanager
def _reported(check: str, findings: list[Finding]) -> Iterator[None]:
    """Make an error of the block a finding, one for each wrong field."""
    from lepton_ai.errors import LeptonError

    try:
        yield
    except LeptonError as error:
        problems = [f"{field.field}: {field.description}" for field in error.fields] or [error.message]
        findings += [Finding(check, problem, error.fix) for problem in problems]


def _about(package: Package) -> dict[str, Any]:
    optimised = package.description.optimised
    return {
        **({"optimised": optimised.model_dump(mode="json")} if optimised is not None else {}),
        "model": package.description.name,
        "digest": package.digest,
        "files": len(package.files),
        "size_bytes": sum(file.size_bytes for file in package.files.values()),
    }


def _print(document: dict[str, Any], findings: list[Finding], *, ran: bool) -> None:
    rows = [
        (
            finding.check,
            style_state("failed") if finding.problem else style_state("passed"),
            finding.problem,
            format_duration_s(finding.duration_s) if finding.duration_s else "",
        )
        for finding in findings
    ]
    print_table([Column("Check"), Column("State"), Column("Problem"), Column("Time", "right")], rows)
    if "optimised" in document:
        print_note(_measured(document["optimised"]))
    for fix in dict.fromkeys(finding.fix for finding in findings if finding.fix):
        print_note(f"What to do: {fix}")
    if any(finding.problem for finding in findings):
        return
    tried = "answers as it should" if ran else "was not run"
    size = format_size_bytes(document["size_bytes"])
    print_note(f"{document['model']}: {document['files']} files, {size}, digest {document['digest'][:12]}; it {tried}.")


def _measured(optimised: dict[str, Any]) -> str:
    """How a variant was made and what it is worth, in one line."""
    (slow, fast), (best, worst) = optimised["speed_up_interval"], optimised["loss_interval"]
    return (
        f"A variant ({optimised['method']}) of {optimised['of'][:12]}: {optimised['speed_up']:.2f} × as fast "
        f"({slow:.2f} to {fast:.2f}), {optimised['loss']:.2%} of {optimised['metric']} lost "
        f"({best:.2%} to {worst:.2%} by {optimised['rows']} rows), measured on {optimised['cpu']}."
    )
