"""`lepton deploy`: a version into production, at once or step by step."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lepton_ai.cli.catalogue.plan_options import Duration, Margin, Percent, Percents
from lepton_ai.cli.catalogue.rollout import deployment_document, follow_rollout
from lepton_ai.cli.catalogue.rollout_views import document, state_of, summary
from lepton_ai.cli.output import console, home_option, json_option, print_json, print_note
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from lepton_ai.client.control.rollouts import PlanOptions

_HALF = (50.0,)
_OF_PLANS = ("step_s", "bake_s", "no_judge", "margins", "metrics", "detach")
_STATUS = {"rolled_back": 1, "aborted": 1, "held": 2}
"""State → what the command ends with."""


@click.command(
    epilog="Examples: lepton deploy resnet · lepton deploy resnet@3 · lepton deploy resnet --wait 0 · "
    "lepton deploy resnet@5 --canary 5%,25%,50% --every 60s · lepton deploy resnet@5 --shadow 100% --every 10m · "
    "lepton deploy resnet@5 --ab user-id --every 1d · lepton deploy resnet@5+int8 --canary 5%,25%"
)
@click.argument("model")
@click.option("--wait", "wait_s", default=60.0, show_default=True, help="Seconds to wait until it answers; 0: do not.")
@click.option(
    "--variants",
    type=click.Choice(["exact", "auto", "deadline"]),
    help="Which variants may answer from now on: none; the fastest within its bound; that one when time or load asks "
    "for it.  [default: as it is, at first exact]",
)
@click.option("--canary", type=Percents(), help="Shares of the traffic that it gets first, such as 5%,25%,50%.")
@click.option(
    "--shadow",
    type=Percent(),
    help="Before that, a copy of this share of the calls: its answers are compared, then dropped. Alone: you decide.",
)
@click.option(
    "--ab",
    "sticky_by",
    metavar="KEY",
    help="An A/B test: callers with the same routing key, or metadata KEY, stay on one version; --canary gives the "
    "share, 50% if not said. Then you decide.",
)
@click.option("--every", "step_s", type=Duration(), default="60s", show_default=True, help="How long each share lasts.")
@click.option(
    "--bake", "bake_s", type=Duration(), default="5m", show_default=True, help="How long the old version stays warm."
)
@click.option("--no-judge", is_flag=True, help="Let each share last its time, whatever becomes of its calls.")
@click.option(
    "--margin",
    "margins",
    type=Margin(),
    multiple=True,
    metavar="GATE=PERCENT",
    help="How much worse is good enough, such as 'latency p95=30%'; GATE=off: not judged.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="'NAME: EXPRESSION < NUMBER'",
    help="A further condition, asked of Prometheus; $model, $version, $old_version and $variant stand for the "
    "rollout's.",
)
@click.option("--detach", is_flag=True, help="Of a rollout: start it and return at once.")
@json_option
@home_option
def deploy(
    model: str,
    *,
    wait_s: float,
    variants: str | None,
    canary: tuple[float, ...] | None,
    shadow: float | None,
    sticky_by: str | None,
    step_s: float,
    bake_s: float,
    no_judge: bool,
    margins: tuple[tuple[str, float], ...],
    metrics: tuple[str, ...],
    detach: bool,
    as_json: bool,
    home: Path,
) -> int:
    """Serve MODEL: NAME (its newest version), NAME@VERSION, NAME@ALIAS or NAME@VERSION+VARIANT.

    What was served before goes on until the new version has been loaded, warmed and tested. With --canary, --shadow
    and --ab the new version takes over step by step; `lepton rollout` steers that, `lepton rollback` takes it back. A
    variant answers in place of its version; step by step only while that is the one that is served.
    Such a command ends with 1 when the version was taken back, and where nobody watches with 2 when it is held.
    """
    if canary is None and shadow is None and sticky_by is None:
        _refuse_plan_options()
        _deploy_directly(model, wait_s=wait_s, variants=variants or "", as_json=as_json, home=home)
        return 0
    if variants is not None:
        raise click.UsageError("--variants is for a deployment at once: a rollout compares what you name.")
    if sticky_by == "":
        raise click.BadParameter("is empty: name a metadata key, such as user-id.", param_hint="--ab")
    options: PlanOptions = {
        "step_s": step_s,
        "bake_s": bake_s,
        "judged": not no_judge,
        "shadow": shadow or 0.0,
        "sticky_by": sticky_by or "",
        "metrics": metrics,
        "margins": dict(margins),
    }
    percents = canary or (_HALF if sticky_by else ())
    return _roll_out(model, percents, options, detach=detach, as_json=as_json, home=home)


def _deploy_directly(model: str, *, wait_s: float, variants: str, as_json: bool, home: Path) -> None:
    show = not as_json and wait_s > 0 and console(stderr=True).is_terminal
    spinner = console(stderr=True).status(f"Loading, warming and testing {model}") if show else nullcontext()
    with client_for(home) as client, spinner:
        deployment = client.deploy(model, wait_s=wait_s, variants=variants)
    if as_json:
        print_json(deployment_document(deployment))
        return
    verb = "is served" if wait_s > 0 else "will be served"
    click.echo(f"{deployment.model} version {deployment.form} {verb}.")


def _refuse_plan_options() -> None:
    """Raises UsageError for options of a rollout without one: the version would get all traffic at once."""
    context = click.get_current_context()
    for parameter in context.command.params:
        said = context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
        if parameter.name in _OF_PLANS and said:
            raise click.UsageError(f"{parameter.opts[0]} belongs to --canary, --shadow or --ab.")


def _roll_out(
    model: str, percents: tuple[float, ...], options: PlanOptions, *, detach: bool, as_json: bool, home: Path
) -> int:
    with client_for(home) as client:
        started = client.start_rollout(model, percents, **options)
        if not detach:
            print_note(f"Leave with Ctrl-C; it goes on. Take it back: lepton rollback {started.model}")
            started = follow_rollout(client, started.model)
    print_json(document(started)) if as_json else click.echo(summary(started))
    return 0 if detach else _STATUS.get(state_of(started), 0)
