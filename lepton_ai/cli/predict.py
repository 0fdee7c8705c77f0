"""`lepton predict`: files in, labels or numbers out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lepton_ai.cli.answers import answer_document, prediction_table
from lepton_ai.cli.output import console, home_option, json_option, print_json, print_note
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from lepton_ai.prediction import Answer, Input, Prediction

_FILES_A_CALL = 16


@click.command(
    epilog="Examples: lepton predict efficientnet-lite0 cat.jpg dog.jpg · lepton predict resnet@3 --trace cat.jpg · "
    "lepton predict reviews --text '质量很好'"
)
@click.argument("model")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--text", "texts", multiple=True, help="A text to send instead of a file; can be given several times.")
@click.option(
    "-k", "--top", "top_k", default=0, metavar="N", help="How many labels to show; default: what the model says."
)
@click.option(
    "--draw", "drawing", type=click.Path(path_type=Path), help="Picture to write with the boxes found; or a folder."
)
@click.option("--trace", is_flag=True, help="Trace the request from here into Triton, and say how to see it.")
@click.option("--timeout", "timeout_s", default=30.0, show_default=True, help="Seconds to wait for an answer.")
@json_option
@home_option
def predict(
    model: str,
    files: tuple[Path, ...],
    *,
    texts: tuple[str, ...],
    top_k: int,
    drawing: Path | None,
    trace: bool,
    timeout_s: float,
    as_json: bool,
    home: Path,
) -> int:
    """Send FILES to MODEL (NAME, NAME@VERSION or NAME@ALIAS) and print what it answers.

    Ends with 1 when any file could not be predicted.
    """
    inputs: list[tuple[str, Input]] = [(str(path), path) for path in files]
    inputs += [(text, {"": text}) for text in texts]  # by name, though it has none: so it is never taken for a path
    if not inputs:
        raise click.UsageError("Name at least one file, or give a --text.")
    with client_for(home, trace=trace, timeout_s=timeout_s) as client:
        batches = [inputs[begin : begin + _FILES_A_CALL] for begin in range(0, len(inputs), _FILES_A_CALL)]
        answers = [client.predict_batch(model, [value for _, value in batch], top_k=top_k) for batch in batches]
    names = [name for name, _ in inputs]
    predictions = [each for answer in answers for each in answer.predictions]
    if as_json:
        print_json(answer_document(names, answers))
    else:
        console().print(prediction_table(names, predictions, framed=console().is_terminal))
        _print_summary(answers)
    if drawing is not None:
        _draw(drawing, files, predictions)
    return 1 if any(each.error for each in predictions) else 0


def _draw(drawing: Path, files: tuple[Path, ...], predictions: list[Prediction]) -> None:
    from lepton_ai.drawing import save_drawn  # Pillow only where something is drawn

    for path in save_drawn(drawing, files, predictions):
        print_note(f"Drawn: {path}")


def _print_summary(answers: list[Answer]) -> None:
    answer, took = answers[0], answers[0].timings
    parts = f"preprocess {took.preprocess_ms:.1f}, queue {took.queue_ms:.1f}, compute {took.compute_ms:.1f}"
    print_note(f"[dim]{answer.model} version {answer.version}: {took.total_ms:.1f} ms ({parts})[/dim]")
    for answer in answers:
        if answer.trace_id:
            print_note(f"See where the time went: lepton trace {answer.trace_id}")
