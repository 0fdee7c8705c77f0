"""The examples of models go all the way at a small size: train, evaluate, save, deploy, and ask the platform."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from examples import ocr, speech
from lepton_ai.datasets import FashionMNIST, read_table
from lepton_ai.errors import NotFound
from tests.e2e.conftest import ONE_THREAD
from tests.platform import Platform, running_platform

ROOT = Path(__file__).parents[2]

# Example → something that only the platform's answer puts there, and the models that it deploys.
EXAMPLES = {
    "anomalies": ("is taken for", ["anomalies"]),
    "chinese_reviews": ("房间很干净，服务员也很热情，下次还会再来！ is taken for", ["chinese-reviews"]),
    "churn": ("is taken for", ["churn"]),
    "digits": ("is taken for", ["digits"]),
    "fashion_mnist": ("is taken for", ["fashion-mnist"]),
    "spoken_digits": ("is taken for", ["spoken-digits"]),
    "movies": ("And what it recommends", ["movie-ratings", "next-movie"]),
    "gan": ("A picture from the platform: (1, 28, 28, 1)", ["digit-painter"]),
    "dogs_and_cats": ("is taken for", ["cats-dogs"]),
}


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform of its own: other tests count what the shared one serves."""
    with running_platform(tmp_path_factory.mktemp("examples") / ".lepton") as running:
        yield running


def need_fashion_mnist() -> None:
    try:
        FashionMNIST.split()
    except NotFound as missing:  # the only set that is no Python package
        pytest.skip(str(missing))


def run(
    name: str, *arguments: str, field: Platform, folder: Path, timeout_s: float = 170
) -> subprocess.CompletedProcess[str]:
    """The example with these arguments, in this folder, on this platform."""
    python_path = os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    done = subprocess.run(
        [sys.executable, "-m", f"examples.{name}", *arguments],
        cwd=folder,
        env={**os.environ, **ONE_THREAD, "LEPTON_HOME": str(field.home), "PYTHONPATH": python_path},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_goes_all_the_way(name: str, field: Platform, tmp_path: Path) -> None:
    wanted, models = EXAMPLES[name]
    if name == "fashion_mnist":
        need_fashion_mnist()
    done = run(name, "--small", field=field, folder=tmp_path)
    assert wanted in done.stdout
    for model in models:
        assert f"Deployed as {model}." in done.stdout


@pytest.mark.timeout(300)
def test_what_users_correct_the_next_version_has_learned(field: Platform, tmp_path: Path) -> None:
    done = run("feedback_loop", field=field, folder=tmp_path, timeout_s=270)
    told = [each for line in done.stdout.splitlines() if (each := _SAID.search(line))]
    (before, before_high, _), (after, _, after_low) = (
        (float(each["right"]), float(each["high"]), float(each["low"])) for each in told
    )
    assert after > before + 5
    assert after_low > before_high, "the intervals lie apart"
    name = "digits-from-feedback"
    mistakes = json.loads(field.lepton("feedback", "quality", name, "--json").stdout)[-1]["confusions"]
    assert {each["label"] for each in mistakes[:3]} <= {"8", "9"}, "what it had not seen"

    tasks = tmp_path / "tasks.json"
    exported = field.lepton("feedback", "export", name, "--which", "corrected", "--label-studio", str(tasks), "--json")
    assert json.loads(exported.stdout)["examples"] > 10
    task = json.loads(tasks.read_text())[0]
    assert task["data"]["image"].startswith("data:image/png;base64,")
    task["annotations"] = [{"result": task["predictions"][0]["result"], "was_cancelled": False, "completed_by": 1}]
    results = tmp_path / "results.json"
    results.write_text(json.dumps([task]))
    assert field.lepton("feedback", "import", str(results)).stdout == "Taken: 1 joined.\n"

    folder = tmp_path / "examples"
    field.lepton("feedback", "export", name, str(folder), "--limit", "7")
    data = read_table(folder / "examples.csv", target="label")
    assert (len(data), data.schema["image"].kind) == (7, "image")
    deleted = re.search(r"(\d+) inputs", field.lepton("feedback", "forget", "user 1").stdout)
    assert deleted is not None
    assert int(deleted[1]) >= 30


_SAID = re.compile(r"is right in (?P<right>[\d.]+)% \((?P<low>[\d.]+)% to (?P<high>[\d.]+)%\)")

LINES = ("人工智能改变世界", "Hello, World 2026!", "订单号：A-10293")


def test_lines_and_pages_of_chinese_and_english_are_read(field: Platform, tmp_path: Path) -> None:
    page = tmp_path / "页.png"
    page.write_bytes(ocr.draw_lines(LINES, ink="navy", paper="lightyellow"))
    assert run("ocr", str(page), field=field, folder=tmp_path).stdout.splitlines() == list(LINES)
    for name, text in zip("一二三", LINES, strict=True):
        (tmp_path / f"{name}.png").write_bytes(ocr.draw_lines([text]))
    told = field.lepton("predict", "ocr", *(str(tmp_path / f"{name}.png") for name in "一二三"), "--json")
    assert [each["text"] for each in json.loads(told.stdout)["predictions"]] == list(LINES)
    assert LINES[0] in field.lepton("predict", "ocr", str(tmp_path / "一.png")).stdout
    areas = field.lepton("predict", ocr.FINDER, str(page), "--json")
    mask = json.loads(areas.stdout)["predictions"][0]["mask"]
    assert (mask["width"], mask["height"], sorted(mask["areas"])) == (*picture_size(page), ["background", "text"])


@pytest.mark.timeout(300)  # the network is converted, then 150 MB are pushed and loaded
def test_what_is_said_is_written_down(field: Platform, tmp_path: Path) -> None:
    assert run("speech", field=field, folder=tmp_path, timeout_s=250).stdout == f"{speech.SENTENCE}\n"
    sound = tmp_path / "声音.wav"
    sound.write_bytes(speech.say("Thank you very much for your help."))
    assert "Thank you very much for your help." in field.lepton("predict", "speech", str(sound)).stdout


def picture_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size
