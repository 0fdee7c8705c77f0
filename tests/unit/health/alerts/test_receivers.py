"""The file of receivers: who is told, and what is wrong with the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from lepton_ai.errors import FailedPrecondition, InvalidInput
from services.health.alerts.memory.records import MatcherRecord
from services.health.alerts.receivers import load_receivers, parse_matcher


def write(path: Path, text: str) -> Path:
    file = path / "receivers.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_receivers_stand_in_a_list_and_secrets_may_stand_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "robot").write_text("https://open.feishu.cn/x\n")
    found = load_receivers(
        write(
            tmp_path,
            f"receivers:\n- {{name: ops, kind: feishu, url_file: {tmp_path / 'robot'}, severities: [page]}}\n"
            "- {name: boss, kind: email, url: 'mailto://x', escalate_after_s: 600, matchers: ['model=\"cats\"']}\n",
        )
    )
    assert [*found] == ["ops", "boss"]
    assert found["ops"].address == "https://open.feishu.cn/x"
    assert found["boss"].escalate_after_s == 600
    assert found["boss"].wants({"model": "cats"}, "page")
    assert not found["boss"].wants({"model": "dogs"}, "page")
    assert not found["ops"].wants({}, "ticket")
    assert "mailto" not in repr(found["boss"])  # addresses are secrets


def test_without_a_file_nobody_is_told_and_a_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    assert load_receivers(None) == {}
    with pytest.raises(FailedPrecondition, match="RECEIVERS_FILE"):
        load_receivers(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("receivers: 3", "must be the only key"),
        ("other: []", "must be the only key"),
        ("receivers:\n- {name: a, kind: pigeon, url: x}", r"receivers\[0\].kind"),
        ("receivers:\n- {name: a, kind: webhook}", "url: is missing"),
        ("receivers:\n- {name: 'a b', kind: webhook, url: x}", "name"),
        ("receivers:\n- {name: a, kind: webhook, url: x}\n- {name: a, kind: email, url: y}", "is there twice"),
        ("receivers:\n- {name: a, kind: webhook, url: x, matchers: [nonsense]}", "is none"),
        ("receivers:\n- {name: a, kind: webhook, url: x, severities: [loud]}", "severities"),
        ("receivers:\n- {name: a, kind: webhook, url: x, colour: red}", "colour"),
    ],
)
def test_what_is_wrong_with_the_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        load_receivers(write(tmp_path, text))


@pytest.mark.parametrize("text", ['model="猫"', "model=猫", 'model = "猫"', "model=~猫|狗", 'model!="狗"', 'other=""'])
def test_matchers_are_written_as_alertmanager_has_them(text: str) -> None:
    assert parse_matcher(text).matches({"model": "猫"})


@pytest.mark.parametrize("text", ["", "model", '="x"', 'a=~"["', 'a=~"(?=b)"', "1a=b"])
def test_what_is_no_matcher_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_matcher(text)


def test_a_stored_matcher_of_an_earlier_release_that_cannot_be_read_any_more_is_no_record() -> None:
    with pytest.raises(ValidationError, match="no regular expression"):
        MatcherRecord(label="model", op="=~", value="(?=cat)")
