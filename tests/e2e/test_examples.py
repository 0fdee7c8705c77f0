"""The examples of models go all the way at a small size: train, evaluate, save, deploy, and ask the platform."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_ai.datasets import FashionMNIST
from lepton_ai.errors import NotFound
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


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_goes_all_the_way(name: str, field: Platform, tmp_path: Path) -> None:
    wanted, models = EXAMPLES[name]
    if name == "fashion_mnist":
        need_fashion_mnist()
    environment = {**os.environ, "LEPTON_HOME": str(field.home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", f"examples.{name}", "--small"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert wanted in done.stdout
    for model in models:
        assert f"Deployed as {model}." in done.stdout
