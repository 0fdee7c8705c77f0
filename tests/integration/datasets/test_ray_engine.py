"""A real Ray: the same rows in the same order as without it, and nothing of Ray's own on the screen."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from lepton_ai.datasets import from_arrays, from_rows, read_folder, read_table
from lepton_ai.datasets.gather import BATCH_ROWS
from lepton_ai.errors import FailedPrecondition, InvalidInput


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray

        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


def test_map_gives_the_same_rows_in_the_same_order(capfd: pytest.CaptureFixture[str]) -> None:
    rows = [{"n": n, "text": f"第{n}条", "label": "ab"[n % 2]} for n in range(4 * BATCH_ROWS + 7)]
    data = from_rows(rows).shuffle(3)

    def lengthen(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "text": row["text"] * 2, "vector": np.full(3, row["n"], np.float32)}

    alone = data.map(lengthen)
    together = data.map(lengthen, engine="ray", workers=2)
    assert together.table.equals(alone.table)
    assert together.schema == alone.schema
    assert together.digest == alone.digest
    assert together.source_lineage == alone.source_lineage
    assert capfd.readouterr() == ("", "")


def test_tensors_cross_as_they_are() -> None:
    data = from_arrays(np.arange(24, dtype=np.uint8).reshape(4, 2, 3), [0, 1, 0, 1])[1:]
    assert data.map(dict, engine="ray").digest == data.map(dict).digest == data.digest


def test_files_of_rows_are_read_in_the_processes(tmp_path: Path) -> None:
    for name in ("猫/a.png", "狗/b.png", "狗/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    data = read_folder(tmp_path, engine="ray")
    assert (data.digest, data.schema) == (read_folder(tmp_path).digest, read_folder(tmp_path).schema)
    sizes = data.map(lambda row: {"bytes": len(row["image"])}, engine="ray")  # type: ignore[arg-type]
    assert [row["bytes"] for row in sizes] == [len(row["image"]) for row in data]  # type: ignore[arg-type]


def test_tables_are_read_in_parts(tmp_path: Path) -> None:
    for part in range(3):
        table = pa.table({"n": range(part * 100, part * 100 + 100), "t": [f"文{n}" for n in range(100)]})
        parquet.write_table(table, tmp_path / f"{part}.parquet", row_group_size=40)
    assert read_table(tmp_path, engine="ray").table.equals(read_table(tmp_path).table)
    (tmp_path / "a.csv").write_text("a,label\n1,x\n2,y\n", encoding="utf-8")
    assert read_table(tmp_path / "a.csv", engine="ray").digest == read_table(tmp_path / "a.csv").digest


def test_an_error_of_the_function_comes_back_as_it_is() -> None:
    data = from_rows({"n": n} for n in range(10))

    def refuse(row: dict[str, Any]) -> dict[str, Any]:
        raise InvalidInput.of_field("n", "is not wanted", fix="Leave it out.")

    with pytest.raises(InvalidInput, match=r"is not wanted\. Leave it out") as caught:
        data.map(refuse, engine="ray")
    assert caught.value.fields[0].field == "n"
    with pytest.raises(FailedPrecondition, match="ZeroDivisionError"):
        data.map(lambda row: {"n": 1 / 0}, engine="ray")


def test_unknown_engines_are_refused() -> None:
    with pytest.raises(InvalidInput, match="engine"):
        from_rows([{"n": 1}]).map(dict, engine="spark")  # type: ignore[arg-type]
