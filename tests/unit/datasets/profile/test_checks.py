"""Every check finds the fault that a data set was built with, and nothing in one that has none."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from lepton_ai.datasets import Column, Dataset, Schema, from_arrays, from_rows
from lepton_ai.datasets.profile import profile
from lepton_ai.datasets.ready.pictures import png
from tests.unit.datasets.profile.material import (
    found,
    image_data,
    only,
    picture,
    pictures,
    rng,
    sentence,
    sound_data,
    table,
    text_data,
    texts,
    tone,
    wav,
)


def put(data: Dataset, name: str, row: int, value: object) -> Dataset:
    values = [each[name] for each in data.rows([name])]
    values[row] = value  # type: ignore[call-overload]
    return data.with_column(name, values)


@pytest.mark.parametrize(
    "data",
    [table(), text_data([*texts()]), image_data(pictures()), sound_data([tone(seed) for seed in range(30)])],
    ids=["table", "texts", "pictures", "sounds"],
)
def test_nothing_is_found_in_data_without_faults(data: Dataset) -> None:
    assert profile(data).findings == ()


def test_an_empty_set_and_a_single_row_have_a_profile() -> None:
    assert profile(table()[:0]).findings == ()
    assert profile(table()[:1]).findings == ()


def test_missing_values_are_counted_and_named() -> None:
    data = put(put(table(), "身高", 3, None), "身高", 8, float("nan"))
    finding = only(data, "missing")
    assert (finding.column, finding.count, finding.rows) == ("身高", 2, (3, 8))


def test_a_missing_target_is_serious() -> None:
    finding = only(put(table(), "label", 5, None), "missing")
    assert (finding.severity, finding.rows) == ("high", (5,))


def test_words_and_numbers_that_stand_for_none_are_found() -> None:
    data = put(table(), "颜色", 7, "未知")
    assert only(data, "missing").rows == (7,)
    weights = np.array([row["weight"] for row in table().rows()], dtype=float)
    weights[[2, 9, 30]] = -999
    assert found(table(weight=weights), "missing")[0].rows == (2, 9, 30)


def test_equal_rows_are_found_whatever_their_order() -> None:
    data = table().take([*range(200), 17, 4, 17])
    finding = only(data, "duplicate")
    assert (finding.count, finding.rows) == (3, (200, 201, 202))
    assert finding.evidence["groups"] == [[17, 200, 202], [4, 201]]


def test_equal_pictures_are_found_under_other_names(tmp_path: Path) -> None:
    for name, seed in (("猫.png", 1), ("副本.png", 1), ("狗.png", 2)):
        (tmp_path / name).write_bytes(png(picture(seed)))
    schema = Schema((Column("file", "image", root=str(tmp_path)),))
    data = from_rows([{"file": name} for name in ("猫.png", "副本.png", "狗.png")], schema)
    assert only(data, "duplicate").evidence["groups"] == [[0, 1]]


def test_few_combinations_make_equal_rows_no_surprise() -> None:
    data = from_arrays({"a": ["x", "y"] * 50, "b": ["p", "p", "q"] * 33 + ["q"]})
    finding = only(data, "duplicate")
    assert finding.severity == "low" and finding.evidence["few_combinations"]


def test_equal_rows_with_different_targets_contradict_each_other() -> None:
    data = put(table().take([*range(200), 4]), "label", 200, "狗")
    finding = only(data, "conflict")
    assert (finding.severity, finding.rows) == ("high", (4, 200))


@pytest.mark.parametrize("altered", [picture(5, side=48), picture(5, brightness=9)], ids=["resized", "brighter"])
def test_altered_copies_of_pictures_are_near(altered: np.ndarray) -> None:  # type: ignore[type-arg]
    findings = found(image_data([*pictures(), png(altered)]), "near-duplicate")
    assert [finding.evidence["groups"] for finding in findings] == [[[5, 40]]]


def test_texts_that_differ_in_punctuation_width_or_a_word_are_near() -> None:
    long = "这家酒店的服务态度非常好，房间干净整洁，早餐丰富，下次来北京还会选择入住，强烈推荐给大家！"
    other = long.replace("，", ",").replace("！", "!!") + "赞"
    assert only(text_data([*texts(), long, other]), "near-duplicate").rows == (61,)


def test_long_texts_are_compared_at_both_ends_and_a_note_says_so() -> None:
    licence = "".join(texts(400))[:6000]
    begun_alike = [licence + sentence(seed, 4000) for seed in (500, 501)]
    copied = sentence(502, 9000)
    data = text_data([*texts(), *begun_alike, copied, "抄" + copied[1:-1] + "本"])
    found_at = [each.evidence["groups"] for each in found(data, "near-duplicate")]
    assert found_at == [[[62, 63]]]
    (note,) = profile(data).notes
    assert note.startswith("4 rows with a '评论' of more than 1,000 characters") and "last 1,000" in note


def test_the_length_of_a_long_text_is_that_of_all_of_it() -> None:
    lengths = [*range(3900, 3960), 60_000]
    finding = only(text_data([sentence(at, length) for at, length in enumerate(lengths)]), "outlier")
    assert (finding.rows, finding.evidence["values"]) == ((60,), [60_000.0])


def test_labels_of_long_texts_are_checked_in_bounded_time_and_memory() -> None:
    words = {"好": "满意推荐干净舒适热情", "差": "失望糟糕肮脏吵闹冷漠"}
    labels = ["好", "差"] * 150
    said = ["".join(rng(at).choice([*words[label], *"的了是在我们酒店"], 3000)) for at, label in enumerate(labels)]
    labels[10] = "差"
    data = from_rows([{"评论": text, "label": label} for text, label in zip(said, labels, strict=True)], target="label")
    tracemalloc.start()
    try:
        finding = only(data, "label")
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert finding.rows == (10,)
    assert most_bytes < 150 * 2**20


def test_rows_of_numbers_that_agree_when_rounded_are_near() -> None:
    numbers = rng(1).normal(0, 1, (100, 6))
    numbers[70] = numbers[20] + 1e-4
    data = from_arrays({f"f{at}": numbers[:, at] for at in range(6)})
    assert only(data, "near-duplicate").evidence["groups"] == [[20, 70]]


@pytest.mark.parametrize("value", [500.0, -300.0, float("inf")])
def test_numbers_far_from_all_others_are_outliers(value: float) -> None:
    finding = only(put(table(), "身高", 11, value), "outlier")
    assert (finding.column, finding.rows) == ("身高", (11,))


def test_a_long_tail_has_no_outliers() -> None:
    assert profile(from_arrays({"收入": rng().lognormal(8, 1, 2000)})).findings == ()


def test_pictures_of_another_size_or_with_nothing_on_them_are_outliers() -> None:
    large, blank = png(picture(90, side=64)), png(np.full((32, 32, 3), 128, np.uint8))
    findings = found(image_data([*pictures(), large, blank]), "outlier")
    assert {(finding.evidence["measure"], finding.rows) for finding in findings} == {
        ("width", (40,)),
        ("height", (40,)),
        ("empty", (41,)),
    }


def test_very_long_texts_and_sounds_and_silence_are_outliers() -> None:
    assert only(text_data([*texts(), "长" * 3000]), "outlier").rows == (60,)
    sounds = [*(tone(seed, 0.2 + seed / 500) for seed in range(30)), tone(31, 9.0), wav(np.zeros(1800))]
    measured = {finding.evidence["measure"]: finding.rows for finding in found(sound_data(sounds), "outlier")}
    assert measured == {"duration": (30,), "empty": (31,)}


def test_columns_that_never_or_hardly_change_are_found() -> None:
    assert only(table(同=["一样"] * 200), "constant").column == "同"
    assert only(table(1000, 几乎=["是"] * 999 + ["否"]), "constant").rows == (999,)


def test_a_column_that_gives_the_target_away_is_found() -> None:
    base = table()
    names = [row["label"] for row in base.rows()]
    answer = [{"猫": "喵", "狗": "汪"}[str(name)] for name in names]
    finding = only(base.with_column("叫声", answer), "leak")
    assert (finding.column, finding.severity) == ("叫声", "high")


def test_a_number_that_gives_a_numeric_target_away_is_found() -> None:
    price = rng().normal(100, 20, 300)
    data = from_arrays({"含税": price * 1.13, "size": rng(1).normal(0, 1, 300), "price": price}, target="price")
    data = data.with_schema(data.schema.with_roles(price="target"))
    assert only(data, "leak").column == "含税"


def test_ids_among_the_inputs_are_found() -> None:
    data = table(用户编号=np.arange(200) * 7 + 3)
    data = data.with_schema(data.schema.with_roles(用户编号="input"))
    assert only(data, "leak").evidence["id"]


def test_classes_whose_pictures_differ_in_size_are_a_leak() -> None:
    files = [png(picture(seed, side=32 if seed % 2 else 40)) for seed in range(60)]
    findings = found(image_data([*files], ["猫", "狗"] * 30), "leak")
    assert {finding.evidence["measure"] for finding in findings} == {"width", "height"}


def test_wrong_labels_are_suspected() -> None:
    random = rng()
    kinds = np.arange(300) % 3
    names = np.array(["圆", "方", "尖"])[kinds]
    names[[10, 47]] = ["尖", "圆"]
    centres = np.array([[0, 0], [9, 0], [0, 9]])[kinds]
    data = from_arrays({"x": centres[:, 0] + random.normal(0, 1, 300), "y": centres[:, 1] + random.normal(0, 1, 300),
                        "label": names.tolist()})  # fmt: skip
    finding = only(data, "label")
    assert set(finding.rows) == {10, 47}
    assert set(finding.evidence["values"]) == {"尖 → 方?", "圆 → 尖?"}


def test_labels_that_no_model_understands_are_left_alone_and_that_is_said() -> None:
    data = from_arrays({"x": rng().normal(0, 1, 200), "y": rng(1).normal(0, 1, 200), "label": ["a", "b"] * 100})
    result = profile(data)
    assert result.findings == () and "simple models" in result.notes[0]


def test_uneven_classes_are_found() -> None:
    data = table(label=["多"] * 185 + ["少"] * 15)
    finding = found(data, "imbalance")[0]
    assert (finding.severity, finding.evidence["counts"]) == ("medium", {"多": 185, "少": 15})


def test_broken_files_are_found_by_the_pipelines_decoders(tmp_path: Path) -> None:
    whole = png(picture(1))
    schema = Schema((Column("file", "image", root=str(tmp_path)),))
    for name, content in {"好.png": whole, "断.png": whole[: len(whole) // 2], "字.png": b"not a picture"}.items():
        (tmp_path / name).write_bytes(content)
    data = from_rows([{"file": name} for name in ("好.png", "断.png", "字.png", "无.png")], schema)
    finding = only(data, "broken")
    assert finding.rows == (1, 2, 3) and "row 1, 断.png: " in finding.message
    assert len(finding.evidence["reasons"]) == 3


def test_broken_sounds_are_found() -> None:
    assert only(sound_data([tone(1), tone(2), tone(3)[:40]]), "broken").rows == (2,)


def test_files_that_are_read_with_a_doubt_are_found_and_stay() -> None:
    data = sound_data([tone(1), tone(2), tone(3)[:300]])
    finding = only(data, "doubtful")
    assert finding.rows == (2,) and "The end is cut off" in finding.message
    cleaned, _ = data.clean(profile(data))
    assert len(cleaned) == len(data)


def test_what_is_in_train_and_test_is_found_exactly_and_nearly() -> None:
    long = "这家酒店的服务态度非常好，房间干净整洁，早餐丰富，下次来北京还会选择入住，强烈推荐给大家！"
    train, test = text_data([*texts(), long]), text_data(["别的内容都不一样的一句话", texts()[4], long + "！赞"])
    findings = profile(train, other=test).findings
    assert [(each.check, each.severity, each.rows, each.evidence["other_rows"]) for each in findings] == [
        ("overlap", "high", (4,), [1]),
        ("overlap", "medium", (60,), [2]),
    ]
