"""`lepton`: the command line. Each command's module is imported when the command is used, so that help is instant."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn

import click

INTERRUPTED = 130


@dataclass(frozen=True)
class LazyCommand:
    """A command that is known by name and by one line of help before its module is imported."""

    target: str
    """module:attribute"""
    summary: str


COMMANDS: Mapping[str, Mapping[str, LazyCommand]] = {
    "The stack": {
        "up": LazyCommand("lepton_ai.cli.stack:up", "Start the platform on this machine and wait until it is ready."),
        "down": LazyCommand("lepton_ai.cli.stack:down", "Stop everything that up started."),
        "status": LazyCommand("lepton_ai.cli.stack:status", "What runs, where, since when, and how often it died."),
        "console": LazyCommand("lepton_ai.cli.monitoring.console:console", "The platform in a browser."),
        "logs": LazyCommand(
            "lepton_ai.cli.history.logs:logs", "What the processes wrote; -f follows; --grouped by kind."
        ),
        "events": LazyCommand("lepton_ai.cli.history.events:events", "What changed, and who did it; -f follows."),
        "health": LazyCommand("lepton_ai.cli.health:health", "Services, models and whether predictions really work."),
        "top": LazyCommand("lepton_ai.cli.monitoring.top:top", "Rates, errors and latencies of everything, live."),
        "metrics": LazyCommand("lepton_ai.cli.monitoring.metrics:metrics", "Measurements of all processes, in PromQL."),
        "alerts": LazyCommand(
            "lepton_ai.cli.alerting.alerts:alerts", "What is wrong, who looks after it, and who was told."
        ),
        "slo": LazyCommand("lepton_ai.cli.alerting.slo:slo", "What is promised of models, and how it stands."),
        "drift": LazyCommand("lepton_ai.cli.monitoring.drift:drift", "Whether versions answer as they did at first."),
    },
    "Packages": {
        "init": LazyCommand("lepton_ai.cli.packages.init:init", "Make a package of a model, whatever tool saved it."),
        "check": LazyCommand(
            "lepton_ai.cli.packages.check:check", "Whether a package would be accepted and answer rightly."
        ),
        "pack": LazyCommand("lepton_ai.cli.packages.pack:pack", "Make one file of a package, the same for the same."),
        "unpack": LazyCommand("lepton_ai.cli.packages.pack:unpack", "The folder of a packed package."),
        "export": LazyCommand("lepton_ai.cli.packages.export:export", "For Triton alone, as an OCI layout, or whole."),
        "bom": LazyCommand("lepton_ai.cli.packages.bom:bom", "A package's bill of materials (CycloneDX ML-BOM)."),
        "convert": LazyCommand(
            "lepton_ai.cli.packages.convert:convert", "A package's model in another format, compared."
        ),
        "optimise": LazyCommand(
            "lepton_ai.cli.packages.optimise:optimise", "Lighter variants of a model, measured here."
        ),
        "schema": LazyCommand("lepton_ai.cli.packages.schema:schema", "The JSON schema of lepton.yaml, for editors."),
    },
    "Models": {
        "push": LazyCommand("lepton_ai.cli.models:push", "Upload a model package as a new version."),
        "deploy": LazyCommand("lepton_ai.cli.catalogue.deploy:deploy", "Serve a version of a model."),
        "rollout": LazyCommand(
            "lepton_ai.cli.catalogue.rollout:rollout", "Step-by-step deployments: list, status, pause, promote, abort."
        ),
        "rollback": LazyCommand("lepton_ai.cli.catalogue.rollout:rollback", "Serve the version before again, at once."),
        "undeploy": LazyCommand("lepton_ai.cli.models:undeploy", "Stop serving a model."),
        "models": LazyCommand(
            "lepton_ai.cli.models:models", "List models; of one its versions, inputs and how to call it."
        ),
        "card": LazyCommand("lepton_ai.cli.packages.about:card", "The model card of a version."),
        "diff": LazyCommand("lepton_ai.cli.packages.about:diff", "What differs between two versions or packages."),
        "lineage": LazyCommand("lepton_ai.cli.packages.about:lineage", "What a version was made from."),
        "alias": LazyCommand("lepton_ai.cli.catalogue.alias:alias", "Name a version of a model, such as staging."),
        "tag": LazyCommand("lepton_ai.cli.versions.tag:tag", "Say something of a model or version, for searches."),
        "archive": LazyCommand("lepton_ai.cli.versions.lifecycle:archive", "Take a version out of use; it is kept."),
        "restore": LazyCommand("lepton_ai.cli.versions.lifecycle:restore", "Make an archived version ready again."),
        "delete": LazyCommand("lepton_ai.cli.versions.lifecycle:delete", "Delete an archived version for good."),
        "download": LazyCommand("lepton_ai.cli.models:download", "Fetch a file of a pushed version."),
        "registry": LazyCommand("lepton_ai.cli.catalogue.registry:registry", "check its files, backup, restore."),
        "audit": LazyCommand("lepton_ai.cli.catalogue.audit:audit", "Who changed what; verify: whether that is whole."),
        "webhooks": LazyCommand(
            "lepton_ai.cli.catalogue.webhooks:webhooks",
            "Tell others what happens in the registry.",
        ),
        "tokens": LazyCommand("lepton_ai.cli.catalogue.tokens:tokens", "Tokens with names: create, list, delete."),
        "keys": LazyCommand(
            "lepton_ai.cli.catalogue.signing:keys", "create: a key pair that versions are signed with."
        ),
        "sign": LazyCommand("lepton_ai.cli.catalogue.signing:sign", "Sign a version that is in the registry."),
        "verify": LazyCommand("lepton_ai.cli.catalogue.signing:verify", "Who has signed a version."),
        "feedback": LazyCommand(
            "lepton_ai.cli.feedback.group:feedback", "What users say of predictions, and the quality of versions."
        ),
        "questionnaire": LazyCommand(
            "lepton_ai.cli.feedback.questionnaires:questionnaire", "What users are asked, and what they answer."
        ),
        "predict": LazyCommand(
            "lepton_ai.cli.predict:predict", "Send files, rows or values to a model, print its answers."
        ),
        "paths": LazyCommand("lepton_ai.cli.catalogue.paths:paths", "Where a model's pipeline runs, and how fast."),
        "cache": LazyCommand("lepton_ai.cli.catalogue.cache:cache", "What repeated inputs save; clear: forget it."),
        "trace": LazyCommand("lepton_ai.cli.trace:trace", "Show where the time of a request went."),
    },
}


class LeptonGroup(click.Group):
    """The top-level command: imports commands late, and prints every error in the same way."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the help page."""
        return [name for section in COMMANDS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command that is asked for."""
        for section in COMMANDS.values():
            if cmd_name in section:
                module, _, attribute = section[cmd_name].target.partition(":")
                command = getattr(import_module(module), attribute)
                assert isinstance(command, click.Command)  # noqa: S101 - the table above is ours
                return command
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the command that was probably meant when there is no such one."""
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            ctx.fail(_unknown(args[0], self.list_commands(ctx)))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table alone."""
        width = max(len(name) for name in self.list_commands(ctx))
        for title, section in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), command.summary) for name, command in section.items()])

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> NoReturn:
        """Run a command line and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
        arguments = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        for stream in (sys.stdout, sys.stderr):
            # A terminal that cannot show a character must not make a command fail.
            getattr(stream, "reconfigure", lambda **_: None)(errors="replace")
        sys.exit(self._run(arguments, *rest, **extra))

    def _run(self, arguments: list[str], *rest: Any, **extra: Any) -> int:
        try:
            result = super().main(arguments, *rest, **extra)
        except click.ClickException as error:
            error.show()
            return error.exit_code
        except (click.Abort, KeyboardInterrupt):
            click.echo("Interrupted.", err=True)
            return INTERRUPTED
        except BrokenPipeError:
            # Whoever read our output has gone (`| head`); keep Python from complaining about it at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except Exception as error:
            from lepton_ai.cli.output import print_error
            from lepton_ai.errors import LeptonError

            told = _of_a_file(error) if isinstance(error, OSError) else error
            if not isinstance(told, LeptonError):
                raise
            print_error(told, as_json="--json" in arguments, traced="--trace" in arguments)
            return 1
        return result if isinstance(result, int) else 0


def _of_a_file(error: OSError) -> Exception:
    """Said for people, where a file or folder of theirs could not be read or written; else the error itself."""
    import errno

    from lepton_ai.errors import FailedPrecondition

    theirs = {errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOSPC}
    if error.errno not in theirs or error.filename is None:
        return error
    fix = "Make room." if error.errno == errno.ENOSPC else "Name another place, or look at who may use this one."
    return FailedPrecondition(f"{error.filename}: {error.strerror}.", reason="FILE", fix=fix)


def _unknown(name: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1)
    return f"There is no command {name!r}." + (f" Did you mean {close[0]!r}?" if close else "")


@click.group(
    cls=LeptonGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`lepton COMMAND --help` explains a command and shows examples.",
)
@click.version_option(package_name="lepton-serving", prog_name="lepton")
def main() -> None:
    """Lepton serves trained models: bring the platform up, push a model, deploy it, predict, see why."""
