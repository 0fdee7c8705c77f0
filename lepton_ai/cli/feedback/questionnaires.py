"""`lepton questionnaire`: what users are asked, and what they answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.output import Column, home_option, json_option, print_json, print_note, print_table
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from lepton_ai.v1 import feedback_pb2 as pb

_SHOWN = 3


@click.group()
def questionnaire() -> None:
    """Questions that users are asked about predictions, in a form at /form/NAME?prediction=ID of the console."""


@questionnaire.command("set", epilog="Example: lepton questionnaire set digits.yaml · the format: docs/feedback.md")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@home_option
def set_questionnaire(file: Path, *, as_json: bool, home: Path) -> None:
    """Store the questionnaire in FILE in place of the one of its name."""
    with client_for(home) as client:
        stored = client.set_questionnaire(file)
    if as_json:
        print_json(_document(stored))
        return
    click.echo(f"Stored {stored.name}.")


@questionnaire.command("list")
@json_option
@home_option
def list_questionnaires(*, as_json: bool, home: Path) -> None:
    """List all questionnaires."""
    with client_for(home) as client:
        found = client.questionnaires()
    if as_json:
        print_json([_document(each) for each in found])
    elif found:
        print_table(
            [Column(title) for title in ("Name", "Title", "Questions", "Changed")], [_row(each) for each in found]
        )
    else:
        print_note("There are none. Store one: lepton questionnaire set FILE")


@questionnaire.command()
@click.argument("name")
@click.option("--model", default="", help="Only of predictions of this model.")
@click.option("--source", is_flag=True, help="Print the questionnaire itself.")
@json_option
@home_option
def show(name: str, *, model: str, source: bool, as_json: bool, home: Path) -> None:
    """Show what was answered to every question of NAME."""
    with client_for(home) as client:
        found = client.answers(name, model=model)
        stored = next(each for each in client.questionnaires() if each.name == name)
    if source:
        click.echo(stored.document, nl=False)
    elif as_json:
        print_json([_answers_document(each) for each in found])
    else:
        print_table(
            [Column("Question"), Column("Kind"), Column("Answered", "right"), Column("Answers")],
            [(each.text, each.kind, each.answered, _answers_in_words(each)) for each in found],
        )


@questionnaire.command()
@click.argument("name")
@json_option
@home_option
def remove(name: str, *, as_json: bool, home: Path) -> None:
    """Take the questionnaire NAME away; what was answered stays."""
    with client_for(home) as client:
        client.remove_questionnaire(name)
    if as_json:
        print_json({"removed": name})
        return
    click.echo(f"Removed {name}.")


def _row(stored: pb.Questionnaire) -> tuple[object, ...]:
    from lepton_ai.feedback.questionnaire import Questionnaire

    parsed = Questionnaire.parse(stored.document.encode())
    return stored.name, parsed.title, len(parsed.questions), f"{stored.changed_at.ToDatetime():%Y-%m-%d %H:%M}"


def _document(stored: pb.Questionnaire) -> dict[str, Any]:
    return {"name": stored.name, "document": stored.document, "changed_at": stored.changed_at.ToJsonString()}


def _answers_in_words(answers: pb.QuestionAnswers) -> str:
    if answers.kind == "text":
        return " · ".join(answers.latest[:_SHOWN])
    mean = [f"mean {answers.mean:.2f}"] if answers.kind == "rating" and answers.answered else []
    return ", ".join([*mean, *(f"{each.answer}: {each.count}" for each in answers.counts[:_SHOWN])])


def _answers_document(answers: pb.QuestionAnswers) -> dict[str, Any]:
    return {
        "name": answers.name,
        "kind": answers.kind,
        "text": answers.text,
        "answered": answers.answered,
        "counts": {each.answer: each.count for each in answers.counts},
        "mean": answers.mean if answers.kind == "rating" else None,
        "latest": list(answers.latest),
    }
