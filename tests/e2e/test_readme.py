"""What the README shows works as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from examples.efficientnet_lite0 import photos
from tests.e2e.conftest import ONE_THREAD
from tests.platform import Platform
from tests.topology import SERVICES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def shell_commands() -> list[str]:
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(("source ", "make "))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader might be: with a photo, and a file that only claims to be one."""
    shutil.copy(photos()[0].path, tmp_path / "cat.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    return tmp_path


def test_every_make_target_that_is_named_exists() -> None:
    named = set(re.findall(r"`make ([a-z-]+)", README)) | set(re.findall(r"^make ([a-z-]+)", README, re.MULTILINE))
    assert {"demo", "test", "up", "down", "clients"} <= named
    assert named <= set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def test_the_commands_work_in_their_order(platform: Platform, tmp_path: Path) -> None:
    assert shell_commands()
    for command in shell_commands():
        words = shlex.split(command.replace("/tmp/efficientnet-lite0", str(tmp_path / "efficientnet-lite0")))
        if words[0] == "lepton":
            done = platform.lepton(*words[1:])
        else:
            done = subprocess.run([sys.executable, *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"


SDK, TRAINING, TRITONCLIENT = blocks("python")


@pytest.mark.parametrize("program", [SDK, TRITONCLIENT], ids=["sdk", "tritonclient"])
def test_the_programs_label_the_photo(platform: Platform, folder: Path, program: str) -> None:
    assert "mastiff" in run_program(platform, folder, program)


def test_the_training_program_ends_with_a_served_model(platform: Platform, folder: Path) -> None:
    short = TRAINING.replace("split()", "split(train=60, test=20)").replace("epochs=10", "epochs=1")
    printed = run_program(platform, folder, short)
    assert "Test accuracy: " in printed
    assert printed.splitlines()[-1] in ("cat", "dog")
    assert (folder / "cat_dog_classifier.pth").is_file()
    assert platform.lepton("undeploy", "cats-dogs").returncode == 0


def run_program(platform: Platform, folder: Path, program: str) -> str:
    address = platform.state.addresses["inference"].split(",")[0]
    environment = {**os.environ, **ONE_THREAD, "LEPTON_HOME": str(platform.home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program.replace("127.0.0.1:8500", address)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_predicting_a_file_and_reading_its_trace(platform: Platform, folder: Path) -> None:
    predicted = platform.lepton("predict", "efficientnet-lite0", str(folder / "cat.jpg"), "--trace")
    assert predicted.returncode == 0, predicted.stderr
    assert "bull mastiff" in predicted.stdout
    trace_id = re.search(r"lepton trace ([0-9a-f]{32})", predicted.stderr)
    assert trace_id is not None
    shown = platform.lepton("trace", trace_id[1])
    assert "triton" in shown.stdout
    assert "queue" in shown.stdout


def test_a_file_that_is_no_photo_is_refused_with_a_reason(platform: Platform, folder: Path) -> None:
    done = platform.lepton("predict", "efficientnet-lite0", str(folder / "broken.jpg"))
    assert done.returncode == 1
    assert "not a JPEG, PNG or WebP" in done.stderr


def test_the_table_of_services_is_the_topology() -> None:
    rows = re.findall(r"^\| (\w+) \| (\d+) \| .* \| (.*) \|$", README, re.MULTILINE)
    told = {(name, int(port), frozenset(calls.split(", ")) - {"–"}) for name, port, calls in rows}
    assert told == {(service.name, service.port, frozenset(service.calls)) for service in SERVICES}
