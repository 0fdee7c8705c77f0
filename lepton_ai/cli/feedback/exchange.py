"""`lepton feedback export` and `import`: examples to train on or to label, and labels back."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.output import home_option, json_option, print_json, print_note
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from lepton_ai.client.feedback import Opinion

_WHICH = ("all", "labelled", "corrected", "unlabelled", "disagreed")


@click.command(
    epilog="Examples: lepton feedback export digits corrections · lepton feedback export digits --which unlabelled "
    "--below-score 0.6 --label-studio tasks.json"
)
@click.argument("model")
@click.argument("directory", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--label-studio",
    "tasks",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write tasks for Label Studio into this file instead, and how to show them beside it, as .xml.",
)
@click.option("--which", type=click.Choice(_WHICH), help="Of what kind.  [default: labelled; for Label Studio: all]")
@click.option("--version", default=0, help="Only of this version.")
@click.option("--below-score", type=click.FloatRange(0, 1), help="Only those of which the model was less sure.")
@click.option("--since", type=click.DateTime(), help="Of predictions made since then.")
@click.option("--before", type=click.DateTime(), help="Of predictions made before then.")
@click.option("--most-per-source", default=0, help="At most so many labels of one host, form visitor or token.")
@click.option("--most-per-user", default=0, help="At most so many labels of one user.")
@click.option("--limit", default=0, help="At most so many, the newest.")
@json_option
@home_option
def export(
    model: str,
    directory: Path | None,
    *,
    tasks: Path | None,
    which: str | None,
    as_json: bool,
    home: Path,
    **chosen: Any,
) -> None:
    """Write the kept inputs of MODEL with their right labels into DIRECTORY: examples.csv, and its files beside it."""
    from lepton_ai.feedback import folder, label_studio

    if (directory is None) == (tasks is None):
        raise click.UsageError("Name a directory, or give --label-studio FILE.")
    given = {name: value for name, value in chosen.items() if value not in (0, None)}
    times = {name: value.astimezone() for name, value in given.items() if isinstance(value, datetime)}
    selection: Any = given | times | {"which": which or ("labelled" if tasks is None else "all")}
    with client_for(home) as client:
        examples = client.feedback_examples(model, **selection)
    if directory is not None:
        written = folder.write_folder(examples, directory)
    elif tasks is not None:
        written = label_studio.write_tasks(examples, tasks)
    if as_json:
        counted = {"without_input": examples.without_input, "over_limit": examples.over_limit}
        print_json({"examples": len(examples), **counted, "file": str(written)})
        return
    if examples.without_input:
        print_note(f"{examples.without_input} labels are of predictions whose input was not kept.")
    if examples.over_limit:
        print_note(f"{examples.over_limit} labels were left out, as their source or user has given enough.")
    click.echo(f"Wrote {len(examples)} examples: {written}")


@click.command("import", epilog="Example: lepton feedback import results.json")
@click.argument("results", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@home_option
def import_results(results: Path, *, as_json: bool, home: Path) -> None:
    """Take the labels that people gave in Label Studio: RESULTS is what it exports as JSON or JSON-MIN."""
    from lepton_ai.feedback.label_studio import read_results

    opinions: list[tuple[Any, Opinion]] = [
        (each.prediction_id, {"label": each.label, "user": each.annotator}) for each in read_results(results)
    ]
    with client_for(home) as client:
        states = Counter(client.submit_feedbacks(opinions))
    if as_json:
        print_json(dict(states))
        return
    counted = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in sorted(states.items()))
    click.echo(f"Taken: {counted or 'no labels'}.")
