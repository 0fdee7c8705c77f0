"""`lepton predict`: files, rows, texts or values in, labels or numbers out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.answers import answer_document, prediction_table
from lepton_ai.cli.output import console, home_option, json_option, print_json, print_note
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from lepton_ai.cli.examples import Example
    from lepton_ai.client import Client
    from lepton_ai.prediction import Answer, Prediction

_SENT_AT_ONCE = 64
"""Up to how many examples are read before any is sent, so that a few share their calls."""
_SHOWN_TRACES = 3


@click.command(
    epilog="Examples: lepton predict efficientnet-lite0 cat.jpg dog.jpg · lepton predict resnet@3 --trace photos/ · "
    "lepton predict reviews --text '质量很好' · lepton predict churn customers.csv --csv answers.csv · "
    "lepton predict churn --input 年龄=66 --input 城市=上海 · cat rows.jsonl | lepton predict churn -"
)
@click.argument("model")
@click.argument("files", nargs=-1, type=click.Path(exists=True, allow_dash=True, path_type=Path))
@click.option("--text", "texts", multiple=True, help="A text to send instead of a file; can be given several times.")
@click.option(
    "--input", "pairs", multiple=True, metavar="NAME=VALUE", help="One input of an example; once for each that it has."
)
@click.option(
    "-k", "--top", "top_k", default=0, metavar="N", help="How many labels to show; default: what the model says."
)
@click.option("--output", "outputs", multiple=True, metavar="NAME",
              help="An output of the model to show beside the answer; can be given several times.")  # fmt: skip
@click.option("--draw", "drawing", type=click.Path(path_type=Path),
              help="Picture to write with the boxes or areas found; or a folder.")  # fmt: skip
@click.option("--csv", "csv_path", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), metavar="PATH",
              help="Write the answers to this CSV file, - for standard output.")  # fmt: skip
@click.option("--trace", is_flag=True, help="Trace the requests from here into Triton, and say how to see them.")
@click.option("--timeout", "timeout_s", default=30.0, show_default=True, help="Seconds to wait for each answer.")
@click.option("--routing-key", default="", metavar="KEY",
              help="Of a user or a session: keeps it on one version while several share the traffic.")  # fmt: skip
@click.option("--tenant", default="", metavar="NAME", help="On whose behalf, where several share a platform.")
@click.option("--exact", is_flag=True, help="Only the original may answer, whatever variants the model allows.")
@json_option
@home_option
def predict(
    model: str,
    files: tuple[Path, ...],
    *,
    texts: tuple[str, ...],
    pairs: tuple[str, ...],
    top_k: int,
    outputs: tuple[str, ...],
    csv_path: Path | None,
    drawing: Path | None,
    trace: bool,
    timeout_s: float,
    routing_key: str,
    tenant: str,
    exact: bool,
    as_json: bool,
    home: Path,
) -> int:
    """Send FILES to MODEL (NAME, NAME@VERSION or NAME@ALIAS) and print what it answers.

    A file is a picture, sound or text, or holds a row of inputs a line: .csv .tsv .parquet .arrow .jsonl, or .json. Its
    other columns are passed over. Of a folder all files are sent that the model takes; - is standard input.

    Ends with 1 when any example could not be predicted; its error stands in its place.
    """
    if not (files or texts or pairs):
        raise click.UsageError("Name at least one file, or - for standard input, or give a --text or an --input.")
    asked = tuple(dict.fromkeys(outputs))
    with client_for(home, trace=trace, timeout_s=timeout_s, tenant=tenant, exact=exact) as client:
        options: dict[str, Any] = {"top_k": top_k, "outputs": asked, "routing_key": routing_key}
        sent = _send(client, model, _examples(client, model, files, texts, pairs), **options)
    if not sent.examples:
        print_note("There is nothing to predict: no example was found.")
        return 1
    sent.raise_if_alone()
    if csv_path is not None:
        from lepton_ai.cli.answers_csv import write_answers

        write_answers(csv_path, sent.examples, sent.predictions)
        if str(csv_path) != "-":
            print_note(f"{len(sent.examples)} answers are in {csv_path}.")
    if as_json:
        print_json(answer_document([each.name for each in sent.examples], sent.answers))
    elif csv_path is None:
        names = [each.shown for each in sent.examples]
        console().print(prediction_table(names, sent.predictions, outputs=asked, framed=console().is_terminal))
    if not as_json:
        _print_summary(sent)
    if drawing is not None:
        _draw(drawing, sent)
    return 1 if any(each.error for each in sent.predictions) else 0


@dataclass
class _Sent:
    """What was sent and what came back."""

    examples: list[Example] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    @property
    def predictions(self) -> Sequence[Prediction]:
        """One for every example, in order."""
        return [each for answer in self.answers for each in answer.predictions]

    def raise_if_alone(self) -> None:
        """Raise the error of a single example, and one that all calls ended with: a table would say it again and
        again."""
        errors = [each.error for each in self.predictions]
        first = errors[0]
        if first is None:
            return
        if len(errors) == 1:
            raise _of_example(first, self.examples[0])
        no_call_worked = all(answer.version == 0 for answer in self.answers)
        if no_call_worked and all(each is not None and each.message == first.message for each in errors):
            raise first


def _of_example(error: Any, example: Example) -> Any:
    """The error with the name of its file or row in front, where it has one."""
    from lepton_ai.errors import InvalidInput
    from lepton_ai.file import File

    is_file = isinstance(example.value, Path | File) or example.name != example.shown or " row " in example.name
    if not isinstance(error, InvalidInput) or not is_file or example.shown in error.message:
        return error
    named = InvalidInput(f"{example.shown}: {error.message}", reason=error.reason, fix=error.fix, fields=error.fields)
    named.trace_id = error.trace_id
    return named


def _examples(
    client: Client, model: str, files: Sequence[Path], texts: Sequence[str], pairs: Sequence[str]
) -> Iterator[Example]:
    from lepton_ai.cli.examples import Example, check_texts, file_examples, typed_example

    if pairs:
        yield typed_example(pairs, client.describe(model))
    if texts:
        check_texts(client.describe(model))
    for text in texts:
        yield Example(text, text, {"": text})  # by name, though it has none: so it is never taken for a path
    if files:
        yield from file_examples(files, client.describe(model))


def _send(client: Client, model: str, examples: Iterator[Example], **options: Any) -> _Sent:
    from lepton_ai.client.batches import by_itself

    sent = _Sent()

    def values(some: Iterable[Example]) -> Iterator[Any]:
        for example in some:
            sent.examples.append(example)
            yield example.value

    first = list(islice(examples, _SENT_AT_ONCE))
    if not first:
        return sent
    few = len(first) < _SENT_AT_ONCE
    given = list(values(first)) if few else values(chain(first, examples))
    with _progress(len(first) if few else None) as advance:
        for answer in client.answer_many(model, given, timeout_s=None, **options):
            plain = tuple(map(by_itself, answer.predictions))
            sent.answers.append(replace(answer, predictions=plain))
            advance(len(plain))
    return sent


def _progress(total: int | None) -> AbstractContextManager[Callable[[int], None]]:
    """How many are answered, on a terminal and for more than one; nothing elsewhere."""
    if total == 1 or not console(stderr=True).is_terminal:
        return nullcontext(lambda count: None)
    from lepton_ai.cli.progress import count_progress

    return count_progress("Predicting", total)


def _draw(drawing: Path, sent: _Sent) -> None:
    from lepton_ai.drawing import save_drawn  # Pillow only where something is drawn

    pairs = [(each.value, prediction) for each, prediction in zip(sent.examples, sent.predictions, strict=True)]
    files = [(value, prediction) for value, prediction in pairs if isinstance(value, Path)]
    for path in save_drawn(drawing, tuple(file for file, _ in files), [prediction for _, prediction in files]):
        print_note(f"Drawn: {path}")


def _print_summary(sent: _Sent) -> None:
    answer = next((each for each in sent.answers if each.version), None)
    if answer is not None:
        took = answer.timings
        parts = f"preprocess {took.preprocess_ms:.1f}, queue {took.queue_ms:.1f}, compute {took.compute_ms:.1f}"
        calls = f", the first of {len(sent.answers)} calls" if len(sent.answers) > 1 else ""
        version = f"{answer.version}, variant {answer.variant}" if answer.variant else f"{answer.version}"
        print_note(f"[dim]{answer.model} version {version}: {took.total_ms:.1f} ms ({parts}){calls}[/dim]")
    failed = sum(each.error is not None for each in sent.predictions)
    if failed:
        print_note(f"[red]{failed} of {len(sent.predictions)} could not be predicted.[/red]")
    traces = list(dict.fromkeys(each.trace_id for each in sent.answers if each.trace_id))
    for trace_id in traces[:_SHOWN_TRACES]:
        print_note(f"See where the time went: lepton trace {trace_id}")
    if len(traces) > _SHOWN_TRACES:
        print_note(f"[dim]… and {len(traces) - _SHOWN_TRACES} more traces; --json names them all.[/dim]")
