"""Who leads works, and nobody else; a leader without its database or its etcd stops."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lepton_ai.errors import Unavailable
from lepton_ai.mesh.discovery import leader
from lepton_ai.mesh.discovery.leader import Leader
from lepton_ai.testing import MemoryStore, eventually


class Lead:
    """A lead that several may want."""

    def __init__(self) -> None:
        self.holder: Candidate | None = None


class Candidate:
    def __init__(self, lead: Lead) -> None:
        self.lead = lead
        self.kept = 0

    async def take(self) -> bool:
        if self.lead.holder is None:
            self.lead.holder = self
        return self.lead.holder is self

    async def keep(self) -> None:
        self.kept += 1
        if self.lead.holder is not self:
            raise Unavailable("lost")

    def give_up(self) -> None:
        if self.lead.holder is self:
            self.lead.holder = None


class Work:
    def __init__(self) -> None:
        self.is_under_way = False
        self.begun = 0

    def start(self) -> None:
        self.is_under_way = True
        self.begun += 1

    async def close(self) -> None:
        self.is_under_way = False


class Etcd(MemoryStore):
    is_away = False

    async def get(self, key: str) -> bytes | None:
        if self.is_away:
            raise Unavailable("etcd is away")
        return await super().get(key)


class Process:
    """One of several that may lead."""

    def __init__(self, lead: Lead) -> None:
        self.work, self.etcd, self.candidate = Work(), Etcd(), Candidate(lead)
        self.leader = Leader(self.candidate, self.etcd, [self.work])

    async def works(self) -> None:
        await eventually(lambda: self.work.is_under_way, timeout_s=5, description="it leads and works")

    async def rests(self) -> None:
        await eventually(lambda: not self.work.is_under_way, timeout_s=5, description="it works no longer")


@pytest.fixture
async def two(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Process, Process]]:
    """The first of them leads."""
    monkeypatch.setattr(leader, "_INTERVAL_S", 0.01)
    monkeypatch.setattr(leader, "_WITHOUT_STATE_S", 0.1)
    lead = Lead()
    first, second = Process(lead), Process(lead)
    first.leader.start()
    await first.works()
    second.leader.start()
    yield first, second
    await first.leader.close()
    await second.leader.close()
    assert lead.holder is None


async def test_the_only_one_there_can_be_leads_at_once() -> None:
    work = Work()
    alone = Leader(None, MemoryStore(), [work])
    alone.start()
    assert work.is_under_way
    await alone.close()
    assert not work.is_under_way


async def test_the_next_one_works_when_the_leader_goes(two: tuple[Process, Process]) -> None:
    first, second = two
    assert not second.work.is_under_way
    await first.leader.close()
    assert not first.work.is_under_way
    await second.works()


async def test_who_has_lost_the_lead_stops(two: tuple[Process, Process]) -> None:
    first, second = two
    first.candidate.lead.holder = second.candidate
    await first.rests()
    await second.works()


async def test_a_leader_without_etcd_leaves_the_lead_to_one_that_reaches_it(two: tuple[Process, Process]) -> None:
    first, second = two
    first.etcd.is_away = True
    await second.works()
    await first.rests()


async def test_nobody_leads_while_etcd_is_away_and_somebody_when_it_is_back(two: tuple[Process, Process]) -> None:
    first, second = two
    first.etcd.is_away = second.etcd.is_away = True
    await first.rests()
    assert not second.work.is_under_way
    second.etcd.is_away = False
    await second.works()


async def test_where_a_leader_is_of_use_without_etcd_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leader, "_INTERVAL_S", 0.01)
    monkeypatch.setattr(leader, "_WITHOUT_STATE_S", 0.05)
    work, candidate = Work(), Candidate(Lead())
    alone = Leader(candidate, None, [work])
    alone.start()
    await eventually(lambda: candidate.kept > 10, description="it has led for longer than one that needs etcd")
    assert work.begun == 1
    await alone.close()
    assert not alone.leads
    assert not work.is_under_way
