"""Processes that join, leave, restart or are set differently are told once; what only looks like it is not told."""

from __future__ import annotations

import json
from collections.abc import Mapping

from lepton_ai.mesh.discovery.records import Endpoint
from services.health.events.changes.processes import (
    CONFIRM_S,
    SETTLE_S,
    Known,
    Replicas,
    compare_processes,
    compare_replicas,
    is_pending,
)
from services.health.events.event import Event

NOW = 1_700_000_000.0


def endpoint(
    address: str = "a:1", *, started_s: float = NOW - 5, settings: Mapping[str, str] | None = None, release: str = "1"
) -> Endpoint:
    facts = {"started": str(round(started_s * 1000)), "settings": json.dumps(settings or {}), "release": release}
    return Endpoint("inference", address, facts)


class World:
    """What is known, as time goes on."""

    def __init__(self) -> None:
        self.known: Mapping[str, Known] = {}
        self.replicas: Mapping[str, Replicas] = {}

    def see(self, now_s: float, *present: Endpoint) -> list[Event]:
        events, self.known = compare_processes(self.known, present, now_s)
        scaled, self.replicas = compare_replicas(self.replicas, present, now_s)
        return [*events, *scaled]

    def kinds(self, now_s: float, *present: Endpoint) -> list[str]:
        return [event.kind for event in self.see(now_s, *present)]


def test_a_process_joins_at_the_time_at_which_it_began() -> None:
    (event,) = World().see(NOW, endpoint())
    assert (event.kind, event.time_s, event.title) == ("replica_joined", NOW - 5, "inference a:1 joined")
    assert event.labels == {"service": "inference", "instance": "a:1"}


def test_one_that_has_run_for_long_is_no_news_for_a_health_service_that_begins() -> None:
    assert World().see(NOW, endpoint(started_s=NOW - 86_400)) == []


def test_a_process_has_left_when_it_stays_away() -> None:
    world = World()
    world.see(NOW, endpoint())
    assert world.see(NOW + 10) == []
    assert is_pending(world.known, world.replicas)
    (event,) = world.see(NOW + 10 + CONFIRM_S)
    assert (event.kind, event.time_s) == ("replica_left", NOW + 10)
    assert world.see(NOW + 100) == [], "told once"
    assert not is_pending(world.known, {})
    assert world.see(NOW + 200_000) == []
    assert world.known == {}, "forgotten in the end"


def test_a_lease_that_ran_out_while_its_process_lives_is_not_told() -> None:
    world = World()
    world.see(NOW, endpoint())
    world.see(NOW + 10)
    assert world.see(NOW + 11, endpoint()) == []


def test_another_process_at_the_same_address_is_a_restart() -> None:
    world = World()
    world.see(NOW, endpoint())
    (event,) = world.see(NOW + 60, endpoint(started_s=NOW + 58))
    assert (event.kind, event.time_s, event.title) == ("restart", NOW + 58, "inference a:1 was restarted")


def test_a_restart_after_it_was_told_to_have_left_says_how_long_it_was_away() -> None:
    world = World()
    world.see(NOW, endpoint())
    assert world.kinds(NOW + 10) + world.kinds(NOW + 14) == ["replica_left"]
    (event,) = world.see(NOW + 20, endpoint(started_s=NOW + 15))
    assert event.title == "inference a:1 was restarted after 10 s"


def test_a_process_that_was_cut_off_and_comes_back_joins_again() -> None:
    world = World()
    world.see(NOW, endpoint())
    world.see(NOW + 10)
    world.see(NOW + 14)
    (event,) = world.see(NOW + 30, endpoint())
    assert (event.kind, event.title) == ("replica_joined", "inference a:1 is back after 20 s")


def test_a_restart_with_other_settings_says_what_is_different() -> None:
    world = World()
    world.see(NOW, endpoint(settings={"max_items": "64", "path": "fused"}))
    changed = endpoint(settings={"max_items": "128", "trace_ratio": "0.5"}, started_s=NOW + 58, release="2")
    restart, settings = world.see(NOW + 60, changed)
    assert restart.kind == "restart"
    assert (settings.kind, settings.time_s) == ("settings", NOW + 58)
    assert settings.details == {
        "max_items": "64 → 128",
        "path": "fused → default",
        "trace_ratio": "default → 0.5",
        "release": "1 → 2",
    }
    assert settings.title.startswith("inference a:1 is set differently: max_items 64 → 128, path fused → default")


def test_a_process_in_the_place_of_one_that_left_is_compared_with_it() -> None:
    world = World()
    world.see(NOW, endpoint(settings={"max_items": "64"}))
    events = world.see(NOW + 60, endpoint("b:2", settings={"max_items": "128"}, started_s=NOW + 58))
    assert [event.kind for event in events] == ["replica_joined", "settings"]


def test_other_writers_of_etcds_layout_say_nothing_of_themselves_and_are_met_as_well() -> None:
    world = World()
    assert world.kinds(NOW, Endpoint("go", "c:3")) == ["replica_joined"]
    assert world.kinds(NOW + 1, Endpoint("go", "c:3")) == []


def test_more_replicas_for_good_are_a_change_of_scale() -> None:
    world = World()
    one, two = endpoint("a:1", started_s=NOW - 10), endpoint("b:2", started_s=NOW - 10)
    world.see(NOW, one)
    assert world.kinds(NOW + SETTLE_S, one) == [], "the first size is no change"
    assert world.kinds(NOW + 100, one, two) == ["replica_joined"]
    (event,) = world.see(NOW + 100 + SETTLE_S, one, two)
    assert (event.kind, event.title) == ("scale", "inference has 2 replicas, it had 1")
    assert (event.time_s, event.labels) == (NOW + 100, {"service": "inference"})
    assert world.kinds(NOW + 300, one, two) == []


def test_neither_a_restart_nor_an_outage_is_a_change_of_scale() -> None:
    world = World()
    one, two = endpoint("a:1"), endpoint("b:2")
    for now_s in (NOW, NOW + SETTLE_S):
        world.see(now_s, one, two)
    assert "scale" not in world.kinds(NOW + 100, one)
    assert "scale" not in world.kinds(NOW + 110, one, two)
    assert "scale" not in world.kinds(NOW + 200) + world.kinds(NOW + 300) + world.kinds(NOW + 400, one, two)


def test_a_clock_that_is_put_back_by_an_hour_delays_nothing_for_an_hour() -> None:
    world = World()
    world.see(NOW, endpoint())
    world.see(NOW + 10)
    assert world.kinds(NOW - 3600) == []
    assert world.kinds(NOW - 3600 + CONFIRM_S) == ["replica_left"]
