"""`lepton webhooks`: tell others what happens in the registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.output import Column, home_option, json_option, print_json, print_note, print_table, style_state
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from lepton_ai.v1 import registry_pb2


@click.group()
def webhooks() -> None:
    """Tell others what happens in the registry, with MLflow's event names and signatures."""


@webhooks.command(
    epilog="Examples: lepton webhooks create https://ci.example.org/hook --event model_version.created · "
    "lepton webhooks create https://chat.example.org/hook"
)
@click.argument("url")
@click.option("--event", "events", multiple=True, help="Such as model_version.created; may be repeated. Default: all.")
@click.option(
    "--secret", default="", envvar="LEPTON_WEBHOOK_SECRET", help="Default: one is made.  [env: LEPTON_WEBHOOK_SECRET]"
)
@click.option("--description", default="", help="What it is for.")
@json_option
@home_option
def create(url: str, *, events: tuple[str, ...], secret: str, description: str, as_json: bool, home: Path) -> None:
    """POST each event to URL, signed with the secret that is printed, this once.

    Receivers verify X-MLflow-Signature: "v1," and the HMAC-SHA256 of DELIVERY_ID.TIMESTAMP.BODY in Base64.
    """
    with client_for(home) as client:
        created = client.create_webhook(url, events, secret=secret, description=description)
    if as_json:
        print_json({**_document(created.webhook), "secret": created.secret})
        return
    print_note(f"Webhook {created.webhook.id} is told what happens from now on. Its secret is not shown again:")
    click.echo(created.secret)
    print_note(f"Try it: lepton webhooks test {created.webhook.id}")


@webhooks.command("list", epilog="Example: lepton webhooks list --json")
@json_option
@home_option
def list_(*, as_json: bool, home: Path) -> None:
    """All webhooks."""
    with client_for(home) as client:
        found = client.webhooks()
    if as_json:
        print_json([_document(webhook) for webhook in found])
    elif found:
        columns = [Column("Id", "right"), Column("URL"), Column("Events"), Column("Description"), Column("Since")]
        print_table(columns, [_row(webhook) for webhook in found])
    else:
        print_note("There are no webhooks. Make one: lepton webhooks create URL")


@webhooks.command(epilog="Example: lepton webhooks delete 3")
@click.argument("number", type=int)
@home_option
def delete(number: int, *, home: Path) -> None:
    """Tell webhook NUMBER nothing more, not even what is on its way."""
    with client_for(home) as client:
        client.delete_webhook(number)
    click.echo(f"Webhook {number} is deleted.")


@webhooks.command(epilog="Example: lepton webhooks test 3 --event model_version_alias.created")
@click.argument("number", type=int)
@click.option("--event", default="", help="Default: one that it wants.")
@json_option
@home_option
def test(number: int, *, event: str, as_json: bool, home: Path) -> int:
    """Send an example to webhook NUMBER, and say what it answers; end with 1 when it does not arrive."""
    with client_for(home) as client:
        answer = client.test_webhook(number, event)
    if as_json:
        print_json({"ok": not answer.error, "status": answer.status or None, "error": answer.error})
    else:
        click.echo(answer.error or f"It arrived: the receiver answered {answer.status}.")
    return 1 if answer.error else 0


@webhooks.command(epilog="Examples: lepton webhooks deliveries 3 · lepton webhooks deliveries 3 --limit 1000 --json")
@click.argument("number", type=int)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many.")
@json_option
@home_option
def deliveries(number: int, *, limit: int, as_json: bool, home: Path) -> None:
    """What webhook NUMBER was told and is to be told, the newest first."""
    with client_for(home) as client:
        found = client.deliveries(number, limit=limit)
    if as_json:
        print_json([_delivery_document(delivery) for delivery in found])
    elif found:
        columns = [Column("Event"), Column("State"), Column("Attempts", "right"), Column("Status", "right")]
        columns += [Column("Error"), Column("Happened")]
        print_table(columns, [_delivery_row(delivery) for delivery in found])
    else:
        print_note(f"Webhook {number} was told nothing yet. Try it: lepton webhooks test {number}")


def _row(webhook: registry_pb2.Webhook) -> tuple[Any, ...]:
    events = ", ".join(webhook.events) or "all"
    return webhook.id, webhook.url, events, webhook.description, f"{webhook.created_at.ToDatetime():%Y-%m-%d %H:%M}"


def _document(webhook: registry_pb2.Webhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "url": webhook.url,
        "events": list(webhook.events),
        "description": webhook.description,
        "actor": webhook.actor,
        "created_at": webhook.created_at.ToJsonString(),
    }


def _delivery_row(delivery: registry_pb2.WebhookDelivery) -> tuple[Any, ...]:
    happened = f"{delivery.created_at.ToDatetime():%Y-%m-%d %H:%M:%S}"
    state = style_state(_state(delivery))
    return delivery.event, state, delivery.attempts, delivery.status or "", delivery.error, happened


def _delivery_document(delivery: registry_pb2.WebhookDelivery) -> dict[str, Any]:
    is_finished = delivery.HasField("finished_at")
    return {
        "delivery_id": delivery.delivery_id,
        "event": delivery.event,
        "state": _state(delivery),
        "attempts": delivery.attempts,
        "status": delivery.status or None,
        "error": delivery.error,
        "created_at": delivery.created_at.ToJsonString(),
        "due_at": None if is_finished else delivery.due_at.ToJsonString(),
        "finished_at": delivery.finished_at.ToJsonString() if is_finished else None,
    }


def _state(delivery: registry_pb2.WebhookDelivery) -> str:
    from lepton_ai.v1 import registry_pb2

    return registry_pb2.DeliveryState.Name(delivery.state).removeprefix("DELIVERY_STATE_").lower()
