"""Clients in forked processes: they work there, or say at once what to do; the parent goes on as before."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.inference.served_colours import served_colours
from tests.unit.inference.colours import COLOURS, RED

SEEN = [COLOURS[0]]


async def outcome(scenario: str, folder: Path) -> Any:
    """What the scenario gives, after it was seen that the parent's own calls work before and after the forks."""
    (folder / "photo.png").write_bytes(RED)
    async with served_colours() as served:
        command = [sys.executable, "-m", "tests.integration.client.forked_calls", scenario, served.address, str(folder)]
        running = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        out, _ = await asyncio.wait_for(running.communicate(), 120)
    document = json.loads(out)
    assert document["parent"] == [SEEN, SEEN]
    return document["outcome"]


@pytest.mark.parametrize("scenario", ["inherited", "inherited, left by exit", "made in the child"])
async def test_a_client_works_in_a_forked_child(scenario: str, tmp_path: Path) -> None:
    assert await outcome(scenario, tmp_path) == SEEN


async def test_a_child_that_does_nothing_with_a_client_ends_well(tmp_path: Path) -> None:
    assert await outcome("never used in the child", tmp_path) == "nothing"


async def test_a_child_may_close_the_client_it_inherited_without_closing_the_parents(tmp_path: Path) -> None:
    assert await outcome("closed in the child", tmp_path) is None


async def test_four_workers_forked_at_once_from_a_busy_parent_are_all_answered(tmp_path: Path) -> None:
    got, codes, parents_failures = await outcome("prefork", tmp_path)
    assert (got, codes, parents_failures) == ([SEEN] * 4, [0] * 4, [])


@pytest.mark.parametrize("scenario", ["pool by fork", "pool by spawn"])
async def test_workers_of_a_process_pool_may_make_clients(scenario: str, tmp_path: Path) -> None:
    assert await outcome(scenario, tmp_path) == [SEEN] * 4


async def test_a_forked_child_may_fork_again(tmp_path: Path) -> None:
    assert await outcome("child of a child", tmp_path) == [SEEN] * 3


async def test_the_asyncio_client_says_at_once_what_to_do(tmp_path: Path) -> None:
    told = await outcome("asyncio in the child", tmp_path)
    assert told.startswith("FailedPrecondition FORKED: ")
    assert "lepton_ai.Client" in told
    assert "spawn" in told


async def test_where_all_was_closed_before_the_fork_nothing_is_different(tmp_path: Path) -> None:
    assert await outcome("all closed before", tmp_path) == [SEEN, COLOURS[0]]


async def test_errors_are_those_of_any_client(tmp_path: Path) -> None:
    missing, broken, unsendable = await outcome("bad input", tmp_path)
    assert "'nosuch.png' cannot be read" in missing
    assert broken.startswith("InvalidInput")
    assert unsendable.startswith("InvalidInput")


async def test_an_engine_process_that_is_killed_is_told_and_replaced(tmp_path: Path) -> None:
    before, then, after = await outcome("engine process killed", tmp_path)
    assert (before, after) == (SEEN, SEEN)
    assert then.startswith("Unavailable")


async def test_relative_paths_start_from_where_the_child_is(tmp_path: Path) -> None:
    assert await outcome("another directory", tmp_path) == SEEN * 2
