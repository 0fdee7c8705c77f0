"""What docs/data.md shows works as it stands there, and prints what it says."""

from __future__ import annotations

import csv
import os
import random
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from lepton_ai.datasets import DogsAndCats
from tests.integration.datasets.web import serve

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
ADDRESS = "https://example.org"
CITIES = ("北京", "上海", "广州", "深圳")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader might be, with the files that the document names."""
    folder = tmp_path_factory.mktemp("data")
    write_customers(folder / "customers.csv")
    with closing(sqlite3.connect(folder / "shop.db")) as shop, shop:
        shop.execute("CREATE TABLE orders (city TEXT, amount REAL, returned INTEGER)")
        shop.executemany("INSERT INTO orders VALUES (?, ?, ?)", [(CITIES[n % 4], n / 3, n % 2) for n in range(40)])
    for number, row in enumerate(DogsAndCats.split(train=16, test=2)[0]):
        (folder / "photos" / str(row["label"])).mkdir(parents=True, exist_ok=True)
        (folder / "photos" / str(row["label"]) / f"{number}.png").write_bytes(row["image"])  # type: ignore[arg-type]
    return folder


def write_customers(path: Path) -> None:
    """Customers whom the profile finds at fault: a leak, a conflict, repeated rows, gaps, an outlier, a constant."""
    chance = random.Random(4)
    rows = []
    for number in range(240):
        spend = round(chance.uniform(20, 300), 2)
        churn = "yes" if spend + chance.gauss(0, 15) < 120 else "no"
        age = "" if number % 16 == 7 else chance.randint(18, 80)
        facts = [age, chance.choice(CITIES), chance.randint(100, 140) * 1000, spend, "中国"]
        joined = f"2024-{number % 12 + 1:02d}-{number % 28 + 1:02d}"
        rows.append([f"客户{number}", joined, *facts, 25 if churn == "yes" else 0, churn])
    rows[100][5] = 99999
    rows += [rows[3], rows[8], [*rows[12][:-1], "no" if rows[12][-1] == "yes" else "yes"]]
    names = ["name", "joined", "age", "city", "postcode", "spend", "country", "refund", "churn"]
    with path.open("w", encoding="gb18030", newline="") as file:
        csv.writer(file).writerows([names, *rows])


@pytest.fixture(scope="module")
def printed(folder: Path) -> str:
    with serve(folder) as web:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", "\n".join(blocks("python")).replace(ADDRESS, web.url)],
            cwd=folder,
            env={**os.environ, "HOME": str(folder), "PYTHONPATH": str(ROOT), "LEPTON_DATA_DIR": "", "COLUMNS": "100"},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_snippets_run_one_after_the_other(printed: str, folder: Path) -> None:
    assert (folder / "customers.html").stat().st_size > 5_000
    assert (folder / "varied.png").read_bytes().startswith(b"\x89PNG")
    assert printed.rstrip().endswith("True")


def test_the_profile_is_printed_as_it_is_shown(printed: str) -> None:
    (shown,) = blocks("text")
    lines = [line.rstrip() for line in printed.splitlines()]
    assert shown.strip() in "\n".join(lines)
