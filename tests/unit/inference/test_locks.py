"""Locks between processes: shared or alone, and free when their holder dies."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from lepton_ai.errors import Unavailable
from services.inference.locks import Lock, Locks


@pytest.fixture
def locks(tmp_path: Path) -> Locks:
    return Locks(tmp_path / "locks")


def shared(locks: Locks, name: str) -> Lock:
    lock = locks.try_shared(name)
    assert lock is not None
    return lock


def alone(locks: Locks, name: str) -> Lock:
    lock = locks.try_exclusive(name)
    assert lock is not None
    return lock


def test_a_lock_is_shared_by_many_or_held_by_one(locks: Locks) -> None:
    with shared(locks, "a"):
        with shared(locks, "a"), alone(locks, "b"):
            assert locks.try_exclusive("a") is None
        assert locks.try_exclusive("a") is None
    with alone(locks, "a"):
        assert locks.try_shared("a") is None
        assert locks.try_exclusive("a") is None


def test_who_held_it_alone_leaves_no_file(locks: Locks, tmp_path: Path) -> None:
    lock = alone(locks, "a")
    lock.release()
    lock.release()
    assert list((tmp_path / "locks").iterdir()) == []


async def test_those_who_wait_come_one_after_the_other(locks: Locks) -> None:
    inside: list[int] = []

    async def enter(number: int) -> None:
        async with locks.exclusive("a", timeout_s=5):
            inside.append(number)
            await asyncio.sleep(0)
            assert inside[-1] == number

    await asyncio.gather(*map(enter, range(5)))
    assert sorted(inside) == list(range(5))


async def test_nobody_waits_for_ever(locks: Locks) -> None:
    with shared(locks, "a"), pytest.raises(Unavailable):
        async with locks.exclusive("a", timeout_s=0.05):
            pass


def test_a_killed_holder_is_one_no_more(locks: Locks, tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time\nfrom services.inference.locks import Locks\n"
        "held = Locks(pathlib.Path(sys.argv[1])).try_exclusive('a')\n"
        "print(held is not None, flush=True)\ntime.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "locks")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    assert locks.try_shared("a") is None
    process.kill()
    process.communicate()
    shared(locks, "a").release()
