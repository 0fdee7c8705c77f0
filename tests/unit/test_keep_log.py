"""What deploy/keep-log.sh keeps of a container's log, and that it keeps nothing from the program that it runs."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from lepton_ai.testing import eventually

SCRIPT = Path(__file__).parents[2] / "deploy" / "keep-log.sh"


def start(file: Path, program: str, *, directory: Path) -> subprocess.Popen[bytes]:
    """A shell that runs `program` with its log kept."""
    directory.mkdir(exist_ok=True)
    return subprocess.Popen(
        ["sh", str(SCRIPT), str(file), "sh", "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(directory)},
    )


def kept(file: Path) -> str:
    """All that is kept, the oldest first."""
    files = (file.with_name(f"{file.name}.1"), file)
    return "".join(each.read_text() for each in files if each.exists())


async def test_what_a_program_says_goes_on_and_is_kept_when_it_is_said(tmp_path: Path) -> None:
    file = tmp_path / "triton.log"
    process = start(file, "echo out; echo 错误 >&2; read word; exit 7", directory=tmp_path)
    await eventually(lambda: kept(file) == "out\n错误\n", description="it is kept while the program goes on")
    said, _ = process.communicate(b"go\n", timeout=10)
    assert (said.decode(), process.returncode) == ("out\n错误\n", 7)


async def test_signals_reach_the_program(tmp_path: Path) -> None:
    process = start(
        tmp_path / "x.log", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done", directory=tmp_path
    )
    await eventually(lambda: kept(tmp_path / "x.log") == "ready\n", description="it runs")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 9


def test_what_a_program_says_last_has_gone_on_when_the_container_ends(tmp_path: Path) -> None:
    with start(tmp_path / "x.log", "echo 再见; exit 3", directory=tmp_path) as process:
        assert process.wait(timeout=10) == 3
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        assert process.stdout.read() == "再见\n".encode()


def test_what_a_program_leaves_behind_does_not_keep_the_container(tmp_path: Path) -> None:
    with start(tmp_path / "x.log", "sleep 60 & echo $!; exit 4", directory=tmp_path) as process:
        assert process.wait(timeout=30) == 4
        assert process.stdout is not None
        os.kill(int(process.stdout.readline()), signal.SIGKILL)


async def test_a_restart_leaves_the_last_words_of_the_run_before(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    for word in ("one", "two"):
        start(file, f"echo {word}", directory=tmp_path).communicate(timeout=10)
    await eventually(lambda: kept(file) == "one\ntwo\n", description="both are there")


async def test_as_much_is_kept_as_there_is_room_for(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    lines = 60_000  # of 100 characters: more than 4 MiB, less than 8
    process = start(file, f"yes {'x' * 99} | head -n {lines}", directory=tmp_path)
    said, _ = process.communicate(timeout=30)
    assert len(said) == 100 * lines
    await eventually(lambda: len(kept(file)) == 100 * lines, description="all of it is kept, in two files")
    assert 0 < file.stat().st_size <= 4 << 20


async def test_lines_that_come_one_by_one_are_kept_over_many_files(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    line = "y" * 2990
    loop = f"i=1000; while [ $i -lt 5000 ]; do echo $i {line}; i=$((i + 1)); done"
    process = start(file, loop, directory=tmp_path)
    said = process.communicate(timeout=40)[0].decode()
    assert (said.count("\n"), process.returncode) == (4000, 0)
    await eventually(lambda: said.endswith(kept(file)), description="the last is kept")
    assert len(kept(file)) > 1 << 20
    assert file.stat().st_size <= 4 << 20


@pytest.mark.parametrize("file", ["/dev/full", "nowhere/x.log"])
async def test_a_file_that_cannot_be_written_stops_nothing(file: str, tmp_path: Path) -> None:
    process = start(tmp_path / file, "yes | head -n 200000; echo done", directory=tmp_path)
    said, _ = process.communicate(timeout=30)
    assert said.endswith(b"y\ndone\n")
    assert process.returncode == 0
