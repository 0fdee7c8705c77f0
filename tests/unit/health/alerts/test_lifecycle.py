"""How alerts live: pending, firing, resolved, and none of that by a clock that somebody sets."""

from __future__ import annotations

import math

from services.health.alerts.firing import Firing
from services.health.alerts.lifecycle import Outcome, advance
from services.health.alerts.memory.clock import Stamp, elapsed_s
from services.health.alerts.memory.records import Alert, AlertState, fingerprint
from tests.unit.health.alerts.making import alert, at, firing, found


def live(*rounds: tuple[Stamp, Outcome], untold: tuple[str, ...] = ()) -> Alert:
    """The only alert after these rounds."""
    alerts: dict[str, Alert] = {}
    for moment, outcome in rounds:
        alerts |= {each.id: each for each in advance(alerts, outcome, moment, max_alerts=10, untold=untold)}
    (last,) = alerts.values()
    return last


def test_what_is_found_fires_at_once_unless_it_has_to_last() -> None:
    assert live((at(0), found(firing()))).state is AlertState.FIRING
    assert live((at(0), found(firing(pending_s=10)))).state is AlertState.PENDING
    lasted = live((at(0), found(firing(pending_s=10))), (at(10), found(firing(pending_s=10))))
    assert lasted.state is AlertState.FIRING
    assert lasted.fired == at(10)
    assert lasted.began == at(0)


def test_the_identity_is_in_the_labels_in_any_order() -> None:
    assert fingerprint({"a": "1", "b": "2"}) == fingerprint({"b": "2", "a": "1"})
    assert fingerprint({"a": "1", "b": "2"}) != fingerprint({"a": "1", "b": "3"})
    assert len(fingerprint({"模型": "猫"})) == 16


def test_one_look_that_comes_to_nothing_resolves_nothing_and_a_second_one_does() -> None:
    assert live((at(0), found(firing())), (at(2), found())).state is AlertState.FIRING
    over = live((at(0), found(firing())), (at(2), found()), (at(4), found()))
    assert over.state is AlertState.RESOLVED
    assert over.resolved == at(4)
    assert live((at(0), found(firing())), (at(2), found()), (at(4), found(firing())), (at(6), found())).is_firing


def test_what_is_gone_before_it_has_lasted_was_no_alert() -> None:
    gone = live((at(0), found(firing(pending_s=10))), (at(2), found()))
    assert gone.state is AlertState.RESOLVED
    assert gone.fired is None


def test_a_judge_that_fails_keeps_its_alerts() -> None:
    silent = Outcome("judge", error="it failed")
    rounds = [(at(0), found(firing())), *((at(2.0 * each), silent) for each in range(1, 50))]
    assert live(*rounds).is_firing


def test_another_judge_ends_nobody_elses_alert() -> None:
    assert live((at(0), found(firing())), (at(2), found(judge="other")), (at(4), found(judge="other"))).is_firing


def test_what_is_wrong_again_is_another_episode() -> None:
    first = live((at(0), found(firing())))
    again = live((at(0), found(firing())), (at(2), found()), (at(4), found()), (at(60), found(firing())))
    assert again.is_firing
    assert again.id == first.id
    assert again.episode != first.episode


def test_what_comes_back_before_anybody_was_told_that_it_is_over_never_ended() -> None:
    first = live((at(0), found(firing())))
    rounds = [(at(0), found(firing())), (at(2), found()), (at(4), found()), (at(60), found(firing(pending_s=30)))]
    back = live(*rounds, untold=(first.episode,))
    assert back.is_firing
    assert back.episode == first.episode
    assert back.resolved is None


def test_a_doubt_that_comes_to_nothing_leaves_the_alert_that_was_before() -> None:
    rounds = [(at(0), found(firing())), (at(2), found()), (at(4), found())]
    over = live(*rounds)
    doubt = live(*rounds, (at(60), found(firing(pending_s=10))))
    assert (doubt.state, doubt.fired) == (AlertState.PENDING, None)
    assert live(*rounds, (at(60), found(firing(pending_s=10))), (at(62), found())) == over
    fires = live(*rounds, (at(60), found(firing(pending_s=10))), (at(70), found(firing(pending_s=10))))
    assert (fires.state, fires.began, fires.before) == (AlertState.FIRING, at(60), None)


def test_another_episode_is_a_newer_record() -> None:
    over = live((at(0), found(firing())), (at(2), found()), (at(4), found())).model_copy(update={"revision": 7})
    for pending_s in (0.0, 10.0):
        (again,) = advance({over.id: over}, found(firing(pending_s=pending_s)), at(60), max_alerts=10)
        assert again.revision == 7


def test_clocks_that_jump_by_an_hour_change_nothing() -> None:
    for jump_s in (3600.0, -3600.0):
        waiting = firing(pending_s=600)
        still = live((at(0), found(waiting)), (at(2, wall_ahead_s=jump_s), found(waiting)))
        assert still.state is AlertState.PENDING
        lasted = live((at(0), found(waiting)), (at(600, wall_ahead_s=jump_s), found(waiting)))
        assert lasted.state is AlertState.FIRING


def test_over_a_boot_or_between_machines_the_wall_clock_counts_and_time_never_runs_backwards() -> None:
    assert elapsed_s(at(0), at(60, boot="other")) == 60
    assert elapsed_s(at(60), at(0, boot="other")) == 0
    assert elapsed_s(at(60), at(0)) == 0


def test_more_alerts_than_there_is_room_for_are_not_taken_up() -> None:
    many = [firing(model=f"m{each}") for each in range(20)]
    assert len(advance({}, found(*many), at(0), max_alerts=5)) == 5
    known = {each.id: each for each in advance({}, found(*many[:5]), at(0), max_alerts=5)}
    assert advance(known, found(*many), at(2), max_alerts=5) == []  # those that are there stay


def test_values_and_texts_of_judges_are_bounded() -> None:
    huge = Firing({"alertname": "A", "x": "y" * 10_000}, {"summary": "s" * 10_000, "empty": ""}, math.inf)
    (made,) = advance({}, found(huge), at(0), max_alerts=5)
    assert made.value == 0.0
    assert len(made.labels["x"]) == 300
    assert len(made.annotations["summary"]) == 4000
    assert "empty" not in made.annotations
    assert Alert.model_validate_json(made.model_dump_json()) == made


def test_an_alert_without_a_severity_is_a_ticket() -> None:
    (made,) = advance({}, found(Firing({"alertname": "A"})), at(0), max_alerts=5)
    assert made.severity == "ticket"
    assert alert(severity="page").severity == "page"
