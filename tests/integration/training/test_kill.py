"""A run that is killed goes on exactly where it was; saving that is killed or runs out of disk loses nothing."""

from __future__ import annotations

import asyncio
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lepton_ai.errors import ResourceExhausted
from lepton_ai.models import MLP
from lepton_ai.testing import eventually
from tests.unit.training.tables import table

STEPS = 184  # 8 epochs of 360 rows in batches of 16
ROOT = Path(__file__).parents[3]


def start(module: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.integration.training.{module}", *map(str, arguments)], cwd=ROOT
    )


def losses(diary: Path) -> dict[int, str]:
    """What is in the diary, a last line that was not finished left out."""
    if not diary.exists():
        return {}
    lines = [line.split() for line in diary.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return {int(step): loss for step, loss in lines}


def half_written(directory: Path) -> list[Path]:
    return list(directory.glob(".model.pth.*.part"))


async def run_to_end(process: subprocess.Popen[bytes]) -> None:
    assert await asyncio.to_thread(process.wait, 100) == 0


@pytest.mark.timeout(300)
async def test_a_run_killed_again_and_again_has_the_losses_of_one_left_alone(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    await run_to_end(start("killed_run", tmp_path / "a", whole))
    for step in sorted(random.sample(range(5, STEPS - 5), 2)):
        process = start("killed_run", tmp_path / "b", parts)
        try:
            await eventually(
                lambda step=step: max(losses(parts), default=0) >= step,  # type: ignore[misc]
                timeout_s=60,
                description=f"step {step} is done",
            )
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    await run_to_end(start("killed_run", tmp_path / "b", parts))
    assert len(losses(whole)) == STEPS
    assert losses(parts) == losses(whole)


async def test_a_run_that_is_asked_to_end_does_no_step_twice(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    process = start("killed_run", tmp_path / "checkpoint", diary)
    try:
        await eventually(lambda: 33 in losses(diary), timeout_s=60, description="step 33 is done")
    finally:
        process.terminate()
    assert await asyncio.to_thread(process.wait, 60) == -signal.SIGTERM
    await run_to_end(start("killed_run", tmp_path / "checkpoint", diary))
    steps = [int(line.split()[0]) for line in diary.read_text().splitlines()]
    assert steps == list(range(1, STEPS + 1))


@pytest.fixture
def model() -> MLP:
    model = MLP([64])
    model.fit(table(), epochs=1, progress=False)
    return model


def test_a_full_disk_is_said_and_the_old_file_stays(tmp_path: Path, model: MLP) -> None:
    path = model.save(tmp_path / "model.pth")
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(ResourceExhausted, match="disk is full"):
            model.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["model.pth"]


def test_a_disk_that_is_full_at_a_checkpoint_ends_the_run_with_what_was_saved(tmp_path: Path) -> None:
    model = MLP([64])
    options: dict[str, Any] = {"progress": False, "checkpoint": tmp_path}
    model.fit(table(), epochs=1, **options)
    (path,) = tmp_path.iterdir()
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(ResourceExhausted, match="disk is full"):
            MLP([64]).fit(table(), epochs=2, **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    again = MLP([64]).fit(table(), epochs=2, **options)
    assert len(again) == 2


@pytest.mark.timeout(300)
async def test_a_process_killed_while_it_saves_leaves_the_old_file_or_a_new_one_that_is_whole(
    tmp_path: Path, model: MLP
) -> None:
    path = model.save(tmp_path / "model.pth")
    for _ in range(2):
        process = start("endless_saving", path)
        try:
            await eventually(lambda: half_written(tmp_path)[0], timeout_s=60, interval_s=0.001, description="it saves")
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        for remains in half_written(tmp_path):
            remains.unlink()
        assert MLP.load(path).task is not None
