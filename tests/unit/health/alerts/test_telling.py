"""Who is told what and when: groups, repetitions, escalation, silences, restarts and clocks."""

from __future__ import annotations

from services.health.alerts.desk import AlertDesk
from services.health.alerts.grouping import Pace
from services.health.alerts.memory.records import Acknowledgement, Alert, Delivery, DeliveryState, Group
from tests.unit.health.alerts.conftest import MakeWorld
from tests.unit.health.alerts.making import World, firing, receiver

CATS = firing(model="cats")
TICKET = firing("ModelDegraded", "ticket", model="cats")


def desk(world: World) -> AlertDesk:
    return AlertDesk(world.ledger, world.sender, world.receivers, world.clock, lambda: True)


async def test_a_page_is_told_after_a_moment_and_a_ticket_after_half_a_minute(make_world: MakeWorld) -> None:
    world = make_world()
    assert await world.round(0, CATS, TICKET) == []
    assert await world.round(2, CATS) == ["ops firing [page] ModelDown it is"]
    assert await world.round(4, CATS) == []
    world = make_world(receiver("other"))
    assert await world.round(0, firing("Slow", "ticket")) == []
    assert await world.round(29, firing("Slow", "ticket")) == []
    assert await world.round(30, firing("Slow", "ticket")) == ["other firing [ticket] Slow it is"]


async def test_alerts_of_a_group_are_told_together(make_world: MakeWorld) -> None:
    world = make_world()
    first, second = (
        firing("ReplicaDown", service="inference", instance="a:1"),
        firing("ReplicaDown", service="inference", instance="b:1"),
    )
    await world.round(0, first)
    assert await world.round(2, first, second) == ["ops firing [page] ReplicaDown it is (and 1 more)"]
    (delivery,) = world.sender.sent
    assert len(delivery.alerts) == 2
    assert delivery.document["status"] == "firing"


async def test_what_joins_a_group_that_was_told_waits_for_the_groups_interval(make_world: MakeWorld) -> None:
    world = make_world()
    first, second = (
        firing("ReplicaDown", service="x", instance="a:1"),
        firing("ReplicaDown", service="x", instance="b:1"),
    )
    await world.round(0, first)
    await world.round(2, first)
    assert await world.round(4, first, second) == []
    assert await world.round(301, first, second) == []
    assert len(await world.round(302, first, second)) == 1


async def test_that_it_is_over_is_told_once(make_world: MakeWorld) -> None:
    world = make_world()
    await world.round(0, CATS)
    await world.round(2, CATS)
    await world.round(100)
    assert await world.round(102) == []
    assert world.states == {"ModelDown": "resolved"}
    assert await world.round(302) == ["ops resolved [over] ModelDown it is"]
    assert await world.round(700) == []
    assert world.ledger.of(Group) == {}


async def test_what_flaps_is_told_once(make_world: MakeWorld) -> None:
    world = make_world()
    told: list[str] = []
    for each in range(0, 600, 2):
        told += await world.round(float(each), *([CATS] if each % 20 < 10 else []))
    assert told == ["ops firing [page] ModelDown it is"]


async def test_what_flaps_too_shortly_to_be_told_costs_no_record_of_what_was(make_world: MakeWorld) -> None:
    world = make_world()
    told = [*await world.round(0, CATS), *await world.round(2, CATS), *await world.round(10), *await world.round(12)]
    told += await world.round(302)
    assert told == ["ops firing [page] ModelDown it is", "ops resolved [over] ModelDown it is"]
    (over,) = world.ledger.of(Alert).values()
    for each in range(400, 500, 20):
        assert await world.round(each, firing(model="cats", pending_s=30)) == []
        assert world.states == {"ModelDown": "pending"}
        assert await world.round(each + 10) == []
        (left,) = world.ledger.of(Alert).values()
        assert left == over.model_copy(update={"revision": left.revision})
    await world.close()
    world.open()
    assert world.states == {"ModelDown": "resolved"}, "also after a restart"
    happened = [each.what for each in await world.ledger.history(over.id, limit=100)]
    assert (happened.count("firing"), happened.count("resolved")) == (1, 1)


async def test_what_lasts_is_told_again_after_hours(make_world: MakeWorld) -> None:
    world = make_world()
    await world.round(0, CATS)
    await world.round(2, CATS)
    assert await world.round(4 * 3600, CATS) == []
    assert await world.round(4 * 3600 + 2, CATS) == ["ops repeated [page] ModelDown it is"]
    assert len({each.id for each in world.sender.sent}) == 2


async def test_what_somebody_looks_after_is_not_told_again_and_goes_to_nobody_further(make_world: MakeWorld) -> None:
    world = make_world(receiver(), receiver("boss", escalate_after_s=600))
    await world.round(0, CATS)
    await world.round(2, CATS)
    seen = desk(world).find()[0]
    await desk(world).acknowledge(seen.alert.id[:6], who="anna", comment="我来看")
    assert await world.round(700, CATS) == []
    assert await world.round(5 * 3600, CATS) == []
    assert desk(world).find()[0].acknowledgement == world.ledger.of(Acknowledgement)[seen.alert.episode]


async def test_a_page_that_nobody_acknowledges_goes_further(make_world: MakeWorld) -> None:
    world = make_world(receiver(), receiver("boss", escalate_after_s=600))
    await world.round(0, CATS)
    await world.round(2, CATS)
    assert await world.round(599, CATS) == []
    assert await world.round(600, CATS) == ["boss escalated [page] ModelDown it is"]
    await world.round(902)
    await world.round(904)
    told = await world.round(964)
    assert sorted(told) == ["boss resolved [over] ModelDown it is", "ops resolved [over] ModelDown it is"]


async def test_tickets_go_no_further(make_world: MakeWorld) -> None:
    world = make_world(receiver("boss", escalate_after_s=60))
    for each in (0, 60, 120, 3600):
        assert await world.round(each, TICKET) == []


async def test_receivers_hear_what_is_for_them(make_world: MakeWorld) -> None:
    world = make_world(
        receiver("pages", severities=["page"]), receiver("cats", matchers=['model="cats"']), pace=Pace(group_wait_s=2)
    )
    dogs = firing("ModelDegraded", "ticket", model="dogs")
    await world.round(0, CATS, dogs)
    assert sorted(await world.round(2, CATS, dogs)) == [
        "cats firing [page] ModelDown it is",
        "pages firing [page] ModelDown it is",
    ]


async def test_what_is_silenced_is_not_told_and_is_told_when_the_silence_ends(make_world: MakeWorld) -> None:
    world = make_world()
    silence, count = await desk(world).silence(['model="cats"'], duration_s=3600, author="anna", comment="")
    assert count == 0
    await world.round(0, CATS)
    assert await world.round(10, CATS) == []
    assert desk(world).find()[0].silenced_by == silence.id
    await desk(world).end_silence(silence.id)
    await world.round(12, CATS)
    assert len(await world.round(14, CATS)) == 1


async def test_of_what_ended_while_it_was_silenced_nothing_is_told(make_world: MakeWorld) -> None:
    world = make_world()
    await world.round(0, CATS)
    await world.round(2, CATS)
    await desk(world).silence(['model="cats"'], duration_s=3600, author="anna", comment="")
    for each in (4, 6, 400, 800):
        assert await world.round(each) == []
    assert world.ledger.of(Group) == {}


async def test_a_consequence_is_told_in_its_cause_and_by_itself_when_the_cause_is_gone(make_world: MakeWorld) -> None:
    world = make_world()
    burn = firing("AvailabilityBurn", model="cats")
    await world.round(0, CATS, burn)
    (title,) = await world.round(2, CATS, burn)
    assert "ModelDown" in title
    assert "not told by itself: AvailabilityBurn (cats)" in str(world.sender.sent[0].document["text"])
    await world.round(4, burn)
    await world.round(6, burn)
    assert await world.round(8, burn) == ["ops firing [page] AvailabilityBurn it is"]


async def test_clocks_that_jump_by_an_hour_tell_nothing_twice_and_nothing_early(make_world: MakeWorld) -> None:
    world = make_world(receiver(), receiver("boss", escalate_after_s=600))
    await world.round(0, CATS, TICKET)
    assert len(await world.round(2, CATS, TICKET)) == 1
    for each in range(4, 28, 2):
        jump_s = 5 * 3600.0 if each % 4 else -5 * 3600.0
        assert await world.round(each, CATS, TICKET, wall_ahead_s=jump_s) == []
    assert world.states == {"ModelDown": "firing", "ModelDegraded": "firing"}


async def test_a_restart_forgets_nothing_and_tells_nothing_twice(make_world: MakeWorld) -> None:
    world = make_world()
    await world.round(0, CATS)
    await world.close()
    world.open()
    assert world.states == {"ModelDown": "firing"}
    assert await world.round(2, CATS) == ["ops firing [page] ModelDown it is"]
    await world.close()
    world.open()
    for each in (4, 60, 400):
        assert await world.round(each, CATS) == []
    await world.round(402)
    assert await world.round(404) == []
    assert await world.round(464) == ["ops resolved [over] ModelDown it is"]


async def test_what_waits_goes_on_waiting_over_a_restart(make_world: MakeWorld) -> None:
    world = make_world()
    slow = firing(pending_s=60, model="cats")
    await world.round(0, slow)
    await world.close()
    world.open()
    await world.round(59, slow, wall_ahead_s=3600)
    assert world.states == {"ModelDown": "pending"}
    await world.round(60, slow)
    assert world.states == {"ModelDown": "firing"}


async def test_a_notification_is_tried_until_it_arrives_and_has_one_id(make_world: MakeWorld) -> None:
    world = make_world()
    world.sender.error = "The receiver answered 503."
    await world.round(0, CATS)
    await world.round(2, CATS)
    (waiting,) = world.pending
    assert (waiting.attempts, waiting.status, waiting.error) == (1, 503, "The receiver answered 503.")
    assert await world.round(2.1, CATS) == []  # it is not hammered
    await world.close()
    world.open()
    assert await world.round(60, CATS) == ["ops firing [page] ModelDown it is"]
    assert world.sender.sent[0].id == waiting.id
    assert world.pending == []


async def test_the_end_of_an_alert_is_told_after_its_beginning_has_arrived(make_world: MakeWorld) -> None:
    world = make_world()
    world.sender.error = "away"
    await world.round(0, CATS)
    await world.round(2, CATS)
    await world.round(400)
    await world.round(402)
    await world.round(462)
    assert len(world.pending) == 2
    world.sender.error = ""
    assert await world.round(2000) == ["ops firing [page] ModelDown it is"]
    assert await world.round(2002) == ["ops resolved [over] ModelDown it is"]


async def test_after_a_day_a_notification_is_given_up_and_says_so(make_world: MakeWorld) -> None:
    world = make_world(keep_s=10 * 86400)
    world.sender.error = "away"
    await world.round(0, CATS)
    await world.round(2, CATS)
    await world.round(86_500, CATS)
    states = {each.reason: each.state for each in world.ledger.of(Delivery).values()}
    assert states["firing"] is DeliveryState.FAILED


async def test_what_is_for_a_receiver_that_is_gone_ends(make_world: MakeWorld) -> None:
    world = make_world()
    world.sender.error = "away"
    await world.round(0, CATS)
    await world.round(2, CATS)
    await world.close()
    world.receivers = {"new": receiver("new")}
    world.open()
    await world.round(300, CATS)
    assert await world.round(302, CATS) == ["new firing [page] ModelDown it is"]
    assert {each.receiver: each.state.value for each in world.ledger.of(Delivery).values()} == {
        "ops": "failed",
        "new": "delivered",
    }


async def test_a_receiver_without_an_address_is_an_error_of_its_own(make_world: MakeWorld) -> None:
    world = make_world(receiver("broken"), receiver("ops"))
    await world.round(0, CATS)
    assert await world.round(2, CATS) == ["ops firing [page] ModelDown it is"]
    (waiting,) = world.pending
    assert waiting.error == "no url"
