"""Static int8: smaller, close, and with as many layers in FP32 as the bound needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.optimize.candidate import Value
from lepton_ai.optimize.measure.accuracy import Numeric
from lepton_ai.optimize.measure.cpu import Cpu, this_cpu
from lepton_ai.optimize.measure.engines import open_onnx
from lepton_ai.optimize.methods import Workpiece
from lepton_ai.optimize.quantize import dynamic, static
from lepton_ai.optimize.rows import Rows, dataset_rows
from lepton_ai.package import Package
from tests.sample_packages import onnx_model
from tests.unit.optimize.small import packaged, stripes

VNNI = Cpu("some", ("avx2", "avx512_vnni"), 2)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return packaged(tmp_path_factory.mktemp("packages") / "stripes")


@pytest.fixture(scope="module")
def rows(package: Package) -> Rows:
    return dataset_rows(package, stripes()).take(slice(40))


def answers(path: Path, rows: Rows) -> Numeric:
    return np.asarray(open_onnx(path, threads=1)(rows.inputs)[0], dtype=np.float64)


@pytest.mark.parametrize(
    "parameters",
    [{"calibration": "minmax"}, {"calibration": "entropy"}, {"calibration": "percentile"}, {"scheme": "u8s7"}],
    ids=str,
)
def test_a_network_of_bytes_is_a_third_as_large_and_answers_the_same(
    package: Package, rows: Rows, tmp_path: Path, parameters: Mapping[str, Value]
) -> None:
    source, target = package.path("model.onnx"), tmp_path / "int8.onnx"
    static.quantize(source, target, Workpiece(rows, this_cpu(), 0.005), parameters)
    assert target.stat().st_size < 0.5 * source.stat().st_size
    before, after = answers(source, rows), answers(target, rows)
    assert (before.argmax(axis=1) == after.argmax(axis=1)).mean() >= 0.95
    assert 0 < np.abs(before - after).max() < 0.1 * np.ptp(before)


def test_bytes_of_pictures_go_into_the_first_layer_as_they_are(package: Package, rows: Rows, tmp_path: Path) -> None:
    source, target = package.path("model.onnx"), tmp_path / "int8.onnx"
    assert {"Cast", "Div", "Sub"} & {node.op_type for node in onnx.load(str(source)).graph.node}
    static.quantize(source, target, Workpiece(rows, VNNI, 0.005), {})
    assert not {"Cast", "Div", "Sub"} & {node.op_type for node in onnx.load(str(target)).graph.node}


def test_worst_layers_come_back_until_the_bound_is_met(package: Package, rows: Rows, tmp_path: Path) -> None:
    source, plain, controlled = package.path("model.onnx"), tmp_path / "plain.onnx", tmp_path / "controlled.onnx"
    strict = Workpiece(rows, VNNI, max_loss=-1.0)  # a bound that nothing meets: as many layers as may be
    static.quantize(source, plain, strict, {})
    static.quantize(source, controlled, strict, {"control": True})
    right = answers(source, rows)
    noise = [float(((answers(path, rows) - right) ** 2).mean()) for path in (plain, controlled)]
    assert noise[1] < noise[0]
    assert plain.stat().st_size < controlled.stat().st_size < source.stat().st_size


def test_a_bound_that_is_met_leaves_all_layers_in_bytes(package: Package, rows: Rows, tmp_path: Path) -> None:
    source, plain, controlled = package.path("model.onnx"), tmp_path / "plain.onnx", tmp_path / "controlled.onnx"
    lenient = Workpiece(rows, VNNI, max_loss=0.5)
    static.quantize(source, plain, lenient, {})
    static.quantize(source, controlled, lenient, {"control": True})
    assert np.array_equal(answers(plain, rows), answers(controlled, rows))


def test_dynamic_ranges_need_no_rows(package: Package, rows: Rows, tmp_path: Path) -> None:
    source, target = package.path("model.onnx"), tmp_path / "dynamic.onnx"
    dynamic.quantize(source, target, Workpiece(rows.take(slice(0)), this_cpu(), 0.005), {})
    assert "MatMulInteger" in {node.op_type for node in onnx.load(str(target)).graph.node}
    before, after = answers(source, rows), answers(target, rows)
    assert 0 < np.abs(before - after).max() < 0.05 * np.ptp(before)


def test_what_is_no_model_is_refused_in_words(rows: Rows, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model at all")
    with pytest.raises(InvalidInput, match="cannot be quantised"):
        static.quantize(tmp_path / "bad.onnx", tmp_path / "out.onnx", Workpiece(rows, VNNI, 0.005), {})


def test_an_unknown_calibration_is_refused(rows: Rows, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(onnx_model().SerializeToString())
    with pytest.raises(InvalidInput, match="minmax, entropy, percentile"):
        static.quantize(tmp_path / "m.onnx", tmp_path / "o.onnx", Workpiece(rows, VNNI, 0.005), {"calibration": "kl"})
