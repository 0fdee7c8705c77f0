"""Tasks go to Label Studio in its format, and what people say there comes back as labels."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from lepton_ai.errors import InvalidInput, NotFound
from lepton_ai.feedback.examples import Examples
from lepton_ai.feedback.label_studio import Result, read_results, write_tasks
from tests.unit.feedback.examples import example, of_texts

PNG = b"\x89PNG\r\n\x1a\n and so on"


def written(examples: Examples, folder: Path) -> tuple[list[dict[str, Any]], ElementTree.Element]:
    """The tasks, and the labelling interface."""
    path = write_tasks(examples, folder / "tasks.json")
    interface = (folder / "tasks.xml").read_text(encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8")), ElementTree.fromstring(interface)  # noqa: S314 - our own


def annotated(task: dict[str, Any], label: str, **told: Any) -> dict[str, Any]:
    """The task as Label Studio exports it when somebody has chosen this label."""
    (shown,) = {each["to_name"] for prediction in task["predictions"] for each in prediction["result"]}
    result = {"id": "r1", "from_name": "label", "to_name": shown, "type": "choices", "value": {"choices": [label]}}
    annotation = {"id": 7, "result": [result], "was_cancelled": False, "completed_by": 3, "lead_time": 4.2, **told}
    return {"id": 1, "project": 5, **task, "annotations": [annotation]}


def saved(tasks: object, folder: Path) -> Path:
    path = folder / "results.json"
    path.write_text(json.dumps(tasks, ensure_ascii=False), encoding="utf-8")
    return path


def test_a_task_holds_what_was_sent_and_what_the_model_said_to_be_corrected(tmp_path: Path) -> None:
    (task,), _ = written(of_texts(None), tmp_path)
    assert task["data"] == {"review": "第0条", "prediction_id": f"{0:032x}-0", "model": "reviews@1"}
    (prediction,) = task["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("reviews@1", 0.4)
    assert prediction["result"] == [
        {"from_name": "label", "to_name": "review", "type": "choices", "value": {"choices": ["cat"]}}
    ]
    assert "annotations" not in task


def test_pictures_stand_in_the_task_itself(tmp_path: Path) -> None:
    examples = Examples("animals", {"photo": "image"}, [example(1, {"photo": PNG}, None)])
    (task,), interface = written(examples, tmp_path)
    head, _, content = task["data"]["photo"].partition(",")
    assert (head, base64.b64decode(content)) == ("data:image/png;base64", PNG)
    picture = interface.find("Image")
    assert picture is not None
    assert picture.attrib == {"name": "photo", "value": "$photo"}


def test_the_interface_offers_all_labels_whatever_is_in_them(tmp_path: Path) -> None:
    odd = "<\"狗\" & '猫'>"
    tasks, interface = written(of_texts(odd, None), tmp_path)
    assert [each.attrib["value"] for each in interface.iter("Choice")] == sorted([odd, "cat"])
    shown = {each["to_name"] for task in tasks for prediction in task["predictions"] for each in prediction["result"]}
    (choices,) = interface.iter("Choices")
    assert {choices.attrib["toName"]} == shown
    assert choices.attrib["name"] == "label"


def test_a_row_of_several_columns_is_shown_as_a_table_and_numbers_are_asked_for(tmp_path: Path) -> None:
    rows = [example(1, {"rooms": 3, "城市": "杭州"}, "12.5", predicted="", score=10.0)]
    (task,), interface = written(Examples("prices", {"rooms": "number", "城市": "category"}, rows), tmp_path)
    assert task["data"]["row"] == {"rooms": 3, "城市": "杭州"}
    assert [each["result"][0]["value"] for each in task["predictions"]] == [{"number": 12.5}, {"number": 10.0}]
    assert [each.tag for each in interface] == ["Table", "Number"]


def test_what_people_say_comes_back_with_the_prediction_it_is_of(tmp_path: Path) -> None:
    tasks, _ = written(of_texts(None, None), tmp_path)
    results = [annotated(tasks[0], "狗"), annotated(tasks[1], "cat", completed_by={"id": 2, "email": "anna@例子"})]
    assert read_results(saved(results, tmp_path)) == [
        Result(f"{0:032x}-0", "狗", "label-studio:3"),
        Result(f"{1:032x}-0", "cat", "label-studio:anna@例子"),
    ]


def test_the_last_word_of_several_people_counts_and_who_skips_says_nothing(tmp_path: Path) -> None:
    tasks, _ = written(of_texts(None, None), tmp_path)
    first = annotated(tasks[0], "dog", updated_at="2026-07-02T10:00:00Z")
    first["annotations"] += annotated(tasks[0], "fox", updated_at="2026-07-01T10:00:00Z")["annotations"]
    skipped = annotated(tasks[1], "dog", was_cancelled=True)
    assert [each.label for each in read_results(saved([first, skipped], tmp_path))] == ["dog"]


def test_the_flat_export_is_read_too(tmp_path: Path) -> None:
    tasks, _ = written(of_texts(None, None), tmp_path)
    flat = [{**tasks[0]["data"], "id": 1, "label": "dog", "annotator": 3}, {**tasks[1]["data"], "id": 2}]
    assert read_results(saved(flat, tmp_path)) == [Result(f"{0:032x}-0", "dog", "label-studio:3")]


def test_tasks_that_nobody_has_looked_at_bring_nothing_back(tmp_path: Path) -> None:
    tasks, _ = written(of_texts("dog"), tmp_path)
    assert read_results(saved([{**tasks[0], "annotations": []}], tmp_path)) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "is not JSON"),
        ("{}", "is not a list of tasks"),
        ('[{"annotations": []}, 7]', r"results.json\[0\]"),
        ('[{"data": {"prediction_id": "a"}, "annotations": [{"result": [{"from_name": "label"}]}]}]', "is not a task"),
        ('[{"label": "dog"}]', "is not a task"),
    ],
)
def test_what_is_no_export_is_refused_with_the_place(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidInput, match=told):
        read_results(path)


def test_without_examples_there_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="12 labels are of predictions whose input was not kept") as caught:
        write_tasks(Examples("reviews", {}, [], without_input=12), tmp_path / "tasks.json")
    assert "keep_inputs" in caught.value.fix
