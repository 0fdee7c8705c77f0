"""`lepton feedback give`, `list`, `quality` and `forget`."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from lepton_ai.cli.output import Column, home_option, json_option, print_json, print_note, print_table
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from lepton_ai.client.feedback import Opinion
    from lepton_ai.v1 import feedback_pb2 as pb

_LOUD_SHARE = 0.25
_SHOWN_DAYS = 14
_BARS = "▁▂▃▄▅▆▇█"
_YES, _NO = ("1", "true", "yes", "up"), ("0", "false", "no", "down")


@click.command(
    epilog="Examples: lepton feedback give 0197…-0 --label cat · lepton feedback give 0197…-0 --down --text 'a dog' · "
    "lepton feedback give --csv truths.csv"
)
@click.argument("prediction_id", default="")
@click.option("--label", help="The right label, or the right number.")
@click.option("--rating", type=click.FloatRange(1, 5), help="From 1 (bad) to 5 (good).")
@click.option("--up/--down", "thumb_up", default=None, help="Thumb up or down.")
@click.option("--text", help="In your own words.")
@click.option("--user", help="Who says it; only a hash is kept.")
@click.option(
    "--csv",
    "table",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Many: columns prediction_id and those options.",
)
@json_option
@home_option
def give(prediction_id: str, *, table: Path | None, as_json: bool, home: Path, **said: Any) -> None:
    """Say something of the prediction PREDICTION_ID, which `lepton predict --json` shows."""
    if table is not None:
        opinions = [_opinion_of_row(row, number) for number, row in enumerate(_rows(table), 2)]
    else:
        if not prediction_id:
            raise click.UsageError("Name a prediction, or give --csv FILE.")
        opinions = [(prediction_id, cast("Opinion", {key: each for key, each in said.items() if each is not None}))]
    with client_for(home) as client:
        states = client.submit_feedbacks(opinions)
    if as_json:
        print_json([{"prediction_id": each, "state": state} for (each, _), state in zip(opinions, states, strict=True)])
        return
    counted = ", ".join(f"{states.count(state)} {state.replace('_', ' ')}" for state in sorted(set(states)))
    click.echo(f"Taken: {counted}.")


@click.command("list", epilog="Examples: lepton feedback list resnet · lepton feedback list resnet --bad --json")
@click.argument("model", default="")
@click.option("--version", default=0, help="Only of this version.")
@click.option("--bad", "only_bad", is_flag=True, help="Only what says that a prediction was wrong or bad.")
@click.option("--limit", default=50, show_default=True, help="At most so many, the newest.")
@json_option
@home_option
def list_feedback(model: str, *, version: int, only_bad: bool, limit: int, as_json: bool, home: Path) -> None:
    """List what was said of MODEL's predictions, the newest first."""
    with client_for(home) as client:
        found = client.feedback(model, version=version, only_bad=only_bad, limit=limit)
        if model and not found:
            client.version(model)  # says so of a model that there is not
    if as_json:
        print_json([_document(each) for each in found])
    elif found:
        titles = ("When", "Model", "Version", "Predicted", "Said", "State")
        print_table([Column(title) for title in titles], [_row(each) for each in found])
    else:
        print_note("Nothing was said yet. Say something: lepton feedback give PREDICTION_ID --label LABEL")


@click.command(epilog="Example: lepton feedback quality resnet")
@click.argument("model")
@json_option
@home_option
def quality(model: str, *, as_json: bool, home: Path) -> None:
    """Show how often each version of MODEL was right, as far as users said so."""
    with client_for(home) as client:
        found = client.quality(model)
        if not found:
            client.version(model)  # says so of a model that there is not
    if as_json:
        print_json([_quality_document(each) for each in found])
    elif found:
        titles = ("Version", "Good", "Bad", "Labels", "Accuracy", "Calibration", "Rating", "Last days", "Mistakes")
        print_table([Column(title) for title in titles], [_quality_row(each) for each in found])
        for each in found:
            if each.sources > 1 and each.largest_source_share > _LOUD_SHARE:
                share, right = each.largest_source_share, each.capped_accuracy
                told = f"one source gave {share:.0%} of the labels; where none weighs more than a quarter"
                print_note(f"Version {each.version}: {told}, {right:.1%} are right.")
    else:
        print_note(f"Nothing was said of {model} yet.")


@click.command(epilog="Example: lepton feedback forget anna@example.org")
@click.argument("user")
@json_option
@home_option
def forget(user: str, *, as_json: bool, home: Path) -> None:
    """Delete what USER said, what is remembered of predictions made with that routing key, and the inputs of both."""
    with client_for(home) as client:
        said, predicted, inputs = client.forget_user(user)
    if as_json:
        print_json({"opinions": said, "predictions": predicted, "inputs": inputs})
        return
    click.echo(f"Deleted: {said} opinions, {predicted} predictions, {inputs} inputs.")


def _rows(table: Path) -> list[dict[str, str]]:
    """The rows of a table with commas, semicolons or tabs."""
    content = sys.stdin.buffer.read() if str(table) == "-" else table.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{table} is not UTF-8. Save it as CSV UTF-8.") from error
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=lambda each: header.count(each))
    reader = csv.DictReader(text.splitlines(), delimiter=delimiter)
    names = [*(reader.fieldnames or ())]
    if "prediction_id" not in names:
        raise click.ClickException(f"The table has no column prediction_id; it has {', '.join(names) or 'none'}.")
    rows = [*reader]
    if not rows:
        raise click.ClickException(f"{table} has no rows.")
    return rows


def _opinion_of_row(row: dict[str, str], line: int) -> tuple[str, Opinion]:
    opinion: dict[str, Any] = {name: row[name] for name in ("label", "text", "user") if row.get(name)}
    thumb = (row.get("thumb_up") or "").strip().lower()
    try:
        if row.get("rating"):
            opinion["rating"] = float(row["rating"])
        if thumb:
            opinion["thumb_up"] = {**dict.fromkeys(_YES, True), **dict.fromkeys(_NO, False)}[thumb]
        return row["prediction_id"], cast("Opinion", opinion)
    except (KeyError, ValueError) as error:
        raise click.ClickException(f"Line {line} of the table cannot be read: {error}.") from error


def said_in_words(feedback: pb.Feedback) -> str:
    """What was said, in a few words."""
    if feedback.HasField("label"):
        return f"right is {feedback.label}"
    if feedback.HasField("rating"):
        return f"{feedback.rating:g} of 5"
    if feedback.HasField("thumb_up"):
        return "thumb up" if feedback.thumb_up else "thumb down"
    if feedback.text:
        return feedback.text
    return ", ".join(f"{question}: {answer}" for question, answer in sorted(feedback.answers.items()))


def _state(stored: pb.StoredFeedback) -> str:
    from lepton_ai.v1 import feedback_pb2

    return feedback_pb2.FeedbackState.Name(stored.state).removeprefix("FEEDBACK_STATE_").lower()


def _row(stored: pb.StoredFeedback) -> tuple[object, ...]:
    when = stored.submitted_at.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")
    predicted = f"{stored.predicted} {stored.score:.0%}" if stored.predicted else ""
    version = f"{stored.version}+{stored.variant}" if stored.variant else stored.version or ""
    return when, stored.model, version, predicted, said_in_words(stored.feedback), _state(stored).replace("_", " ")


def _document(stored: pb.StoredFeedback) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict

    return {
        **MessageToDict(stored.feedback, preserving_proto_field_name=True),
        "model": stored.model,
        "version": stored.version,
        "variant": stored.variant,
        "predicted": stored.predicted,
        "score": stored.score,
        "state": _state(stored),
        "submitted_at": stored.submitted_at.ToJsonString(),
        "predicted_at": stored.predicted_at.ToJsonString(),
    }


def _quality_document(version: pb.VersionQuality) -> dict[str, Any]:
    names = ("version", "good", "bad", "labelled", "right", "rated", "mean_rating", "texts")
    return {
        **{name: getattr(version, name) for name in names},
        "accuracy": version.right / version.labelled if version.labelled else None,
        "accuracy_interval": [version.accuracy_low, version.accuracy_high],
        "calibration_error": version.calibration_error,
        "mean_absolute_error": version.mean_absolute_error,
        "confusions": [{"predicted": e.predicted, "label": e.label, "count": e.count} for e in version.confusions],
        "sources": version.sources,
        "largest_source_share": version.largest_source_share,
        "capped_accuracy": version.capped_accuracy,
        "trend": [{"day": e.day.ToJsonString()[:10], "good": e.good, "bad": e.bad} for e in version.trend],
    }


def _quality_row(version: pb.VersionQuality) -> tuple[object, ...]:
    accuracy = ""
    if version.labelled:
        share = version.right / version.labelled
        accuracy = f"{share:.1%} ({version.accuracy_low:.1%} to {version.accuracy_high:.1%})"
    rating = f"{version.mean_rating:.1f} of {version.rated}" if version.rated else ""
    mistakes = ", ".join(f"{each.predicted} was {each.label} ({each.count})" for each in version.confusions[:3])
    off = f"off by {version.calibration_error:.1%}" if version.labelled else ""
    counts = version.version, version.good, version.bad, version.labelled
    return *counts, accuracy, off, rating, _trend(version.trend[-_SHOWN_DAYS:]), mistakes


def _trend(days: Sequence[pb.QualityPoint]) -> str:
    """The share of good predictions day by day, as bars: ▁ none to █ all."""
    return "".join(_BARS[round((len(_BARS) - 1) * day.good / max(1, day.good + day.bad))] for day in days)
