"""Changes are told by MLflow's names, with MLflow's data, and those that MLflow has not by ones of our own."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from mlflow.entities.webhook import WebhookEvent
from mlflow.webhooks import types

from lepton_ai.errors import InvalidInput
from services.registry.webhooks.events import EXAMPLES, Change, Event, check_events, events_of

OURS = ("deployment.", "rollout.", "model_version.signed", "model_version.updated", "model_version_variant.")
MLFLOWS = [name for name in EXAMPLES if not name.startswith(OURS)]


def told(action: str, before: Any = None, after: Any = None) -> dict[str, Any]:
    return {event.name: event.data for event in events_of(Change("alice", action, "猫", before, after))}


@pytest.mark.parametrize("name", MLFLOWS)
def test_mlflow_knows_the_event_and_its_data(name: str) -> None:
    event = WebhookEvent.from_str(name)  # type: ignore[arg-type]
    assert set(EXAMPLES[name]) == set(types.get_example_payload_for_event(event))


def test_a_first_version_is_a_new_model_too() -> None:
    first = told("push", after={"version": 1, "digest": "d"})
    assert list(first) == ["registered_model.created", "model_version.created"]
    assert first["model_version.created"]["version"] == "1"
    assert first["model_version.created"]["source"] == "models:/猫/1"
    assert list(told("push", after={"version": 2, "digest": "d"})) == ["model_version.created"]


def test_a_variant_is_told_with_its_version_and_method() -> None:
    after = {"version": 3, "variant": "int8", "digest": "d", "of": "e", "method": "int8-minmax"}
    assert told("push_variant", after=after) == {
        "model_version_variant.created": {
            "name": "猫", "version": "3", "variant": "int8", "method": "int8-minmax", "actor": "alice"
        }
    }  # fmt: skip


def test_aliases_come_and_go() -> None:
    alias = {"alias": "staging", "version": 3}
    assert told("set_alias", after=alias) == {
        "model_version_alias.created": {"name": "猫", "alias": "staging", "version": "3"}
    }
    assert told("delete_alias", before=alias) == {"model_version_alias.deleted": {"name": "猫", "alias": "staging"}}


def test_tags_of_versions_are_set_and_deleted() -> None:
    about = {"name": "猫", "version": "3", "key": "team"}
    assert told("set_tag", after={"version": 3, "tags": {"team": "vision"}}) == {
        "model_version_tag.set": {**about, "value": "vision"}
    }
    assert told("set_tag", after={"version": 3, "tags": {"team": ""}}) == {"model_version_tag.deleted": about}
    assert told("set_tag", after={"version": 0, "tags": {"team": "vision"}}) == {}


@pytest.mark.parametrize(
    ("action", "event"),
    [
        ("deploy", "deployment.updated"),
        ("undeploy", "deployment.deleted"),
        ("rollout_start", "rollout.created"),
        ("rollout_rolled_back", "rollout.updated"),
        ("rollback", "rollout.updated"),
    ],
)
def test_deployments_and_rollouts_have_events_of_our_own(action: str, event: str) -> None:
    data = told(action, before={"generation": 1}, after={"generation": 2})[event]
    assert data == {
        "name": "猫",
        "action": action,
        "actor": "alice",
        "before": {"generation": 1},
        "after": {"generation": 2},
    }


def test_what_the_registry_mends_by_itself_is_not_told() -> None:
    assert told("republish", after={"generation": 2}) == {}


def test_what_changes_makes_the_same_data_as_its_example() -> None:
    made = told("push", after={"version": 1}) | told("set_alias", after={"alias": "a", "version": 1})
    made |= told("delete_alias", before={"alias": "a"}) | told("sign", after={"version": 1, "signer": "key"})
    made |= told("push_variant", after={"version": 1, "variant": "int8", "method": "int8"})
    made |= told("archive", after={"version": 1, "state": "archived", "reason": "old"})
    made |= told("set_tag", after={"version": 1, "tags": {"team": "vision", "old": ""}})
    made |= told("deploy") | told("undeploy") | told("rollout_start") | told("rollout_promote")
    assert {name: set(data) for name, data in made.items()} == {name: set(EXAMPLES[name]) for name in made}
    assert set(EXAMPLES) == set(made)


def test_a_body_says_entity_action_time_and_data() -> None:
    body = json.loads(Event("model_version.created", {"name": "猫"}).body(datetime(2026, 1, 2, tzinfo=UTC)))
    assert body == {
        "entity": "model_version",
        "action": "created",
        "timestamp": "2026-01-02T00:00:00+00:00",
        "data": {"name": "猫"},
    }


def test_unknown_events_are_named_with_those_there_are() -> None:
    with pytest.raises(InvalidInput, match=r"'model\.created' is no event"):
        check_events(("model.created",))
