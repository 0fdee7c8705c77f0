"""Cleaning does what its policy says and nothing else, and says to how many rows."""

from __future__ import annotations

import numpy as np
import pytest

from lepton_ai.datasets import Dataset, from_arrays
from lepton_ai.datasets.clean import CleaningPolicy
from lepton_ai.datasets.ready.pictures import png
from lepton_ai.errors import InvalidInput
from tests.unit.datasets.profile.material import image_data, picture, pictures, rng, table, text_data, texts


def faulty() -> Dataset:
    """Two rows twice, one without a target, one without a height, and a column that is the same everywhere."""
    rows = [dict(row) for row in table(100, 同=["一样"] * 100).rows()]
    rows[7]["label"], rows[9]["身高"] = None, None
    columns = {name: [row[name] for row in [*rows, rows[3], rows[4]]] for name in rows[0]}
    return from_arrays(columns, target="label").with_schema(table(100, 同=["一样"] * 100).schema)


def steps_of(report: object) -> dict[str, int]:
    return {step.name: step.changed_rows for step in report.steps}  # type: ignore[attr-defined]


def test_safe_takes_out_what_nobody_wants() -> None:
    data, report = faulty().clean("safe")
    assert steps_of(report) == {"drop_broken": 0, "missing_drop_without_target": 1, "drop_duplicates": 2}
    assert (report.rows_before, report.rows_after, len(data)) == (102, 99, 99)
    assert "102 rows before, 99 after" in str(report)


def test_strict_takes_out_all_that_can_be_found() -> None:
    data, report = faulty().clean("strict")
    assert "同" not in data.schema
    assert steps_of(report)["missing_drop"] == 2
    assert data.profile().findings == ()


def test_every_step_is_in_the_lineage() -> None:
    data, _ = faulty().clean("safe")
    done = [(step.name, dict(step.parameters), step.rows) for step in data.source_lineage.operations[-2:]]
    assert done == [("clean.drop_missing", {"dropped": 1}, 101), ("clean.drop_duplicates", {"dropped": 2}, 99)]


def test_clean_data_stay_as_they_are() -> None:
    data, report = table().clean("safe")
    assert data.digest == table().digest
    assert set(steps_of(report).values()) == {0}


def test_a_profile_proposes_a_policy_that_clears_its_findings() -> None:
    found = faulty().profile()
    policy = found.policy()
    assert (policy.drop_columns, policy.missing, policy.drop_duplicates) == (("同",), "drop_without_target", True)
    assert not policy.drop_mislabelled and not policy.clip_outliers
    left = faulty().clean(found).data.profile()
    assert [(finding.check, finding.column) for finding in left] == [("missing", "身高")]


def test_broken_pictures_go_and_the_others_keep_their_order() -> None:
    whole = pictures(6)
    data, report = image_data([whole[0], b"x", whole[2], whole[3][:50] if whole[3] else None, whole[4]]).clean(
        CleaningPolicy(drop_broken=True)
    )
    assert [row["照片"] for row in data.rows()] == [whole[0], whole[2], whole[4]]
    assert report.steps[0].changed_rows == 2


def test_near_duplicates_leave_their_first() -> None:
    data, _ = image_data([*pictures(10), png(picture(5, side=48))]).clean(CleaningPolicy(drop_near_duplicates=True))
    assert [row["照片"] for row in data.rows()] == pictures(10)
    long = "这家酒店的服务态度非常好，房间干净整洁，早餐丰富，下次来北京还会选择入住，强烈推荐给大家！"
    data, _ = text_data([long, *texts(), long + "赞"]).clean(CleaningPolicy(drop_near_duplicates=True))
    assert [row["n"] for row in data.rows()] == list(range(61))


def test_contradicting_rows_all_go() -> None:
    data = from_arrays({"x": [1.5, 2.5, 1.5, 3.5], "label": ["猫", "猫", "狗", "狗"]})
    assert [row["x"] for row in data.clean(CleaningPolicy(drop_conflicts=True)).data.rows()] == [2.5, 3.5]


def test_outliers_are_moved_to_the_limit_and_missing_ones_stay_missing() -> None:
    values = [*rng().normal(0, 1, 100), 900.0, float("nan")]
    data, report = from_arrays({"x": values, "名": ["甲", "乙"] * 51}).clean(CleaningPolicy(clip_outliers=True))
    cleaned = np.array([row["x"] for row in data.rows()], dtype=float)
    assert 3 < cleaned[100] < 12 and np.isnan(cleaned[101])
    assert cleaned[:100].tolist() == values[:100]
    assert report.steps[0].changed_rows == 1
    assert data.schema == from_arrays({"x": values, "名": ["甲", "乙"] * 51}).schema


def test_wrong_labels_go_only_when_asked() -> None:
    kinds = np.arange(200) % 2
    names = np.where(kinds == 1, "狗", "猫")
    names[10] = "狗"
    data = from_arrays({"x": 9 * kinds + rng().normal(0, 1, 200), "label": names.tolist()})
    assert len(data.clean("safe").data) == 200
    assert len(data.clean(CleaningPolicy(drop_mislabelled=True)).data) == 199


def test_what_a_finding_advises_can_be_written_as_it_says() -> None:
    data = faulty()
    assert steps_of(data.clean(drop_columns=["同"]).report) == {"drop_columns": 0}
    assert data.clean(drop_columns="同").data.schema.names == data.clean(drop_constant=True).data.schema.names
    assert data.clean().report == data.clean("safe").report
    assert steps_of(data.clean("safe", missing="drop").report) == {
        "drop_broken": 0,
        "missing_drop": 2,
        "drop_duplicates": 2,
    }
    cleaned = data.clean(data.profile(), drop_columns="身高", clip_outliers=True)
    assert set(steps_of(cleaned.report)) >= {"drop_columns", "drop_duplicates", "clip_outliers"}
    assert {"同", "身高"}.isdisjoint(cleaned.data.schema.names)


def test_targets_and_tensors_that_are_not_finite_are_found_and_left_out() -> None:
    targets = from_arrays({"x": np.arange(4.5, 9.5)}, [1.5, np.nan, np.inf, -np.inf, 2.5])
    assert [finding.rows for finding in targets.profile().of_check("missing")] == [(1, 2, 3)]
    assert [row["x"] for row in targets.clean().data.rows()] == [4.5, 8.5]
    tensors = np.ones((4, 2, 2))
    tensors[1, 0, 0], tensors[2, 1, 1] = np.inf, np.nan
    assert len(from_arrays(tensors, ["a", "b", "a", "b"]).clean(missing="drop").data) == 2


def test_what_cleaning_gives_prints_as_its_report() -> None:
    cleaned = faulty().clean()
    assert str(cleaned) == str(cleaned.report)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: table().clean(drop_konflicts=True), "drop_konflicts"),
        (lambda: table().clean("strict", paint="red"), "paint"),
        (lambda: table().clean("carefully"), "policy"),
        (lambda: CleaningPolicy(missing="fill"), "missing"),  # type: ignore[arg-type]
        (lambda: CleaningPolicy(clip_outliers=-1.0), "clip_outliers"),
        (lambda: table().clean(CleaningPolicy(drop_columns=("身长",))), "身长"),
    ],
)
def test_what_does_not_exist_is_refused_by_name(make, field) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidInput) as raised:
        make()
    assert raised.value.fields[0].field == field and raised.value.fix


def test_rows_that_the_test_part_has_as_well_are_taken_out_of_training() -> None:
    both = texts()
    train, test = (
        text_data([*both, "酒店" + "干净整洁推荐入住" * 4]),
        text_data([both[3], both[8], "酒店" + "干净整洁推荐入住" * 4 + "!"]),
    )
    found = [finding for finding in train.profile(other=test) if finding.check == "overlap"]
    assert [finding.rows for finding in found] == [(3, 8), (60,)]
    data, report = train.clean(drop_overlap=test)
    assert steps_of(report) == {"drop_overlap": 3}
    assert [row["n"] for row in data.rows()] == [at for at in range(61) if at not in (3, 8, 60)]
    assert data.profile(other=test).of_check("overlap") == ()
    assert steps_of(data.clean(drop_overlap=test).report) == {"drop_overlap": 0}


def test_what_should_not_overlap_is_a_data_set() -> None:
    with pytest.raises(InvalidInput, match="drop_overlap: is no data set"):
        table().clean(drop_overlap=True)
