"""What replicas share: the next leader knows what the last one did, and nothing stale comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lepton_ai.errors import Unavailable
from lepton_ai.testing import MemoryStore, eventually
from services.health.alerts.lifecycle import advance
from services.health.alerts.memory import lead as leading
from services.health.alerts.memory.lead import HealthLead
from services.health.alerts.memory.ledger import Ledger
from services.health.alerts.memory.records import Alert, Delivery, DeliveryState, Group, Silence
from services.health.alerts.memory.shared import PREFIX, SharedLedger
from tests.unit.health.alerts.making import alert, at, firing, found
from tests.unit.health.alerts.test_muting import silence


@asynccontextmanager
async def replica(path: Path, state: MemoryStore) -> AsyncIterator[tuple[Ledger, SharedLedger]]:
    ledger = Ledger(path / "alerts.sqlite")
    shared = SharedLedger(state, ledger)
    await shared.start()
    yield ledger, shared
    await shared.close()
    await ledger.close()


def delivery(**more: object) -> Delivery:
    made = Delivery(id="d", receiver="ops", group="g", reason="firing", document={}, created=at(0), due=at(0))
    return made.model_copy(update=more)


async def test_a_follower_knows_what_the_leader_knows_and_a_silence_of_his_reaches_the_leader(tmp_path: Path) -> None:
    state = MemoryStore()
    async with replica(tmp_path / "a", state) as (mine, leader), replica(tmp_path / "b", state.twin()) as (theirs, _):
        await leader.take_over()
        await mine.save([alert(), delivery()])
        await eventually(
            lambda: len(theirs.of(Alert)) == len(theirs.of(Delivery)) == 1, description="the follower knows"
        )
        await theirs.save([silence(("model", "=", "cats"))])
        await eventually(lambda: len(mine.of(Silence)) == 1, description="the leader knows")
        await mine.save([delivery(revision=1, state=DeliveryState.DELIVERED)])
        await eventually(lambda: not theirs.of(Delivery), description="what is done is not shared")


async def test_a_follower_hears_that_what_was_over_is_wrong_again(tmp_path: Path) -> None:
    state = MemoryStore()
    async with replica(tmp_path / "a", state) as (mine, leader), replica(tmp_path / "b", state.twin()) as (theirs, _):
        await leader.take_over()
        for moment, outcome in ((0, found(firing())), (2, found()), (4, found()), (60, found(firing()))):
            changed = advance(mine.of(Alert), outcome, at(moment), max_alerts=10)
            await mine.save(changed)
        (again,) = mine.of(Alert).values()
        assert again.is_firing
        await eventually(lambda: theirs.of(Alert)[again.id].episode == again.episode, description="the follower knows")


async def test_the_next_leader_goes_on_with_what_is_shared(tmp_path: Path) -> None:
    state = MemoryStore()
    async with replica(tmp_path / "a", state) as (mine, first):
        await first.take_over()
        await mine.save([alert(), delivery()])
        assert await first.flush(5)
    async with replica(tmp_path / "b", state) as (theirs, second):
        await second.take_over()
        assert theirs.of(Alert).keys() == {alert().id}
        assert theirs.of(Delivery)["d"].state is DeliveryState.PENDING


class Recording(MemoryStore):
    """Keeps the order of what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    async def put(self, key: str, value: bytes) -> None:
        self.written.append(key.removeprefix(PREFIX).partition("/")[0])
        await super().put(key, value)


async def test_nobody_counts_as_told_before_the_delivery_that_tells_is_shared(tmp_path: Path) -> None:
    """A leader may be killed between any two writes: then the next one makes the same delivery again."""
    state = Recording()
    group = Group(id="g", receiver="ops", group="g", opened=at(0))
    async with replica(tmp_path / "a", state) as (mine, first):
        await first.take_over()
        await mine.save([group])
        await mine.save([group.model_copy(update={"told": at(1), "firing": ("e",)}), delivery(), alert()])
        assert await first.flush(5)
    assert state.written[-3:] == ["alerts", "deliveries", "groups"]
    state.up(wiped=True)
    async with replica(tmp_path / "a", state) as (_, first):
        await first.take_over()  # which shares all of it again
        assert await first.flush(5)
    assert [each for each in state.written[-4:] if each != "last-leader"] == ["alerts", "deliveries", "groups"]


async def test_who_goes_on_knows_what_a_delivery_tells_also_when_its_group_was_not_shared(tmp_path: Path) -> None:
    state = MemoryStore()
    told = Group(id="g", receiver="ops", group="g", opened=at(0), told=at(1), firing=("e",), count=1)
    async with replica(tmp_path / "a", state) as (mine, first):
        await first.take_over()
        await mine.save([alert(), delivery(told=told)])
        assert await first.flush(5)
    async with replica(tmp_path / "b", state) as (theirs, second):
        await second.take_over()
        (known,) = theirs.of(Group).values()
        assert (known.told, known.firing, known.count) == (told.told, told.firing, told.count)
        newer = known.model_copy(update={"firing": ("e", "f"), "count": 2})
        await theirs.save([newer])
        assert await second.flush(5)
    async with replica(tmp_path / "a", state) as (mine, first):
        await first.take_over()
        assert mine.of(Group)["g"].count == 2


async def test_who_was_away_forgets_what_the_other_has_finished(tmp_path: Path) -> None:
    state = MemoryStore()
    async with replica(tmp_path / "a", state) as (mine, first):
        await first.take_over()
        await mine.save([alert(), delivery()])
        await first.flush(5)
    async with replica(tmp_path / "b", state) as (theirs, second):
        await second.take_over()
        done = theirs.of(Delivery)["d"].model_copy(update={"state": DeliveryState.DELIVERED})
        await theirs.save([done], drop=list(theirs.of(Alert).values()))
        await second.flush(5)
    async with replica(tmp_path / "a", state) as (mine, first):
        assert mine.of(Delivery)["d"].state is DeliveryState.PENDING  # as its own file has it
        await first.take_over()
        assert mine.of(Delivery) == {}
        assert mine.of(Alert) == {}


async def test_the_only_one_keeps_what_it_has_when_etcd_has_lost_everything(tmp_path: Path) -> None:
    state = MemoryStore()
    async with replica(tmp_path / "a", state) as (mine, first):
        await first.take_over()
        await mine.save([alert(), delivery()])
        await first.flush(5)
    state.up(wiped=True)
    async with replica(tmp_path / "a", state) as (mine, first):
        await first.take_over()
        assert mine.of(Alert)
        assert await first.flush(5)
        assert len(await state.list(PREFIX)) == 3  # and shares it again


async def test_without_etcd_everything_goes_on(tmp_path: Path) -> None:
    state = MemoryStore()
    state.down()
    async with replica(tmp_path / "a", state) as (mine, first):
        await first.take_over()
        await mine.save([alert()])
        assert not await first.flush(0.01)
        state.up()
        await eventually(lambda: first.flush(1), description="it is shared later")
        assert await state.list(PREFIX)


async def test_what_strangers_write_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = MemoryStore()
    await state.put(f"{PREFIX}alerts/x", b"nonsense")
    await state.put(f"{PREFIX}silences/y", b'{"id": "z"}')
    async with replica(tmp_path / "a", state) as (mine, first):
        await first.take_over()
        assert mine.of(Alert) == {}
        assert mine.of(Silence) == {}
    assert "cannot be read" in caplog.text


async def test_one_leads_and_who_led_goes_on_without_etcd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leading, "_ALONE_AFTER_S", 0.0)
    state = MemoryStore()
    mine, theirs = Ledger(tmp_path / "a"), Ledger(tmp_path / "b")
    first, second = HealthLead(state, mine), HealthLead(state.twin(), theirs)
    assert await first.take()
    assert not await second.take()
    state.down()
    await first.keep()  # raises nothing
    assert not await second.take()
    with pytest.raises(Unavailable, match="Another health service leads"):
        state.up()
        state.expire(leading.LEADER)
        assert await second.take()
        await first.keep()
    for ledger in (mine, theirs):
        await ledger.close()
    reopened = Ledger(tmp_path / "b")
    state.down()
    assert await HealthLead(state, reopened).take()  # it led when etcd was last there
    await reopened.close()


async def test_what_is_too_large_for_etcd_is_kept_here_and_is_in_nobodys_way(tmp_path: Path) -> None:
    state = MemoryStore()
    async with replica(tmp_path / "a", state) as (mine, first):
        await first.take_over()
        await mine.save([delivery(document={"text": "x" * (1 << 20)}), alert()])
        assert await first.flush(5)
        assert [key for key in await state.list(PREFIX) if "deliveries" in key] == []
        assert mine.of(Delivery).keys() == {"d"}
        assert [key for key in await state.list(PREFIX) if "alerts/alerts" in key]
