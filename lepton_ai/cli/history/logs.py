"""`lepton logs`: what processes wrote, and of all machines what is a warning or worse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lepton_ai.cli.output import home_option, json_option


@click.command()
@click.argument("names", nargs=-1)
@click.option("-f", "--follow", is_flag=True, help="Go on printing new lines until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(0, 100_000), default=20, show_default=True, help="Lines of each.")
@click.option("--grouped", is_flag=True, help="Warnings and errors by kind, with how often; also of other machines.")
@click.option("--trace", "trace_id", default="", metavar="ID", help="Warnings and errors of one call.")
@click.option("--template", "template_id", default=0, metavar="N", help="Warnings or errors of a kind, by its id.")
@home_option
@json_option
def logs(
    *, home: Path, as_json: bool, names: tuple[str, ...], follow: bool, lines: int, grouped: bool, **wanted: Any
) -> None:
    """What the processes wrote, by NAME as in `lepton status` (preprocess means all its replicas); default all.

    \b
    Examples:
      lepton logs inference -n 100
      lepton logs -f
      lepton logs --grouped
      lepton logs --trace 4bf92f3577b34da6a3ce929d0e0e4736
    """
    if grouped or any(wanted.values()):
        _print_kept_logs(home, names, grouped=grouped, follow=follow, lines=lines, as_json=as_json, **wanted)
        return
    from lepton_ai.cli.log_lines import LogPrinter, choose_logs
    from lepton_ai.local.processes.run_directory import RunDirectory
    from lepton_ai.local.stack import read_state

    state = read_state(home)
    if state is not None and state.mode == "docker":
        from lepton_ai.cli.containers import print_logs

        print_logs(home, names, lines=lines, follow=follow, as_json=as_json)
        return
    chosen = choose_logs(RunDirectory(home), names)
    printer = LogPrinter(chosen, as_json=as_json)
    printer.print_last(lines)
    if follow:
        printer.follow()


def _print_kept_logs(home: Path, names: tuple[str, ...], *, grouped: bool, follow: bool, **wanted: Any) -> None:
    """What health keeps of all processes, in place of the log files of those on this machine."""
    from lepton_ai.cli.history.log_records import print_records, print_templates
    from lepton_ai.local.processes.table import part_of

    if follow or (grouped and (wanted["trace_id"] or wanted["template_id"])):
        raise click.UsageError("Of --grouped, --trace, --template and --follow, give one.")
    services = tuple(map(part_of, names))
    if grouped:
        print_templates(home, services, as_json=wanted["as_json"])
    else:
        print_records(home, services, **wanted)
