"""The console in Chinese: what services say is Chinese there, too."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest
from google.protobuf import json_format

from lepton_ai.v1 import alerts_pb2, registry_pb2
from tests.console import chinese_sentences, status_of
from tests.console_page import ConsolePage
from tests.integration.health.console import spoken, states
from tests.integration.health.console.conftest import RunningConsole

pytestmark = pytest.mark.timeout(240)
_PLACE = re.compile(r"\{([*=]?)(\w+)\}")
_ENGLISH = re.compile(r"[a-z]{2,} [a-z]{2,}", re.IGNORECASE)
"""Two words in a row: single ones are names, such as etcd."""
_NAMES = re.compile(r"`[^`]*`|(inference|preprocess|registry|health) \d|Lepton|NOT_SERVING|PromQL")


def say(page: ConsolePage, texts: Sequence[str]) -> list[str]:
    """What the page makes of what services say."""
    said: list[str] = page.run(
        f"return import('/static/core/sentences.js').then((sentences) => {json.dumps(texts)}.map(sentences.say))"
    )
    return said


@pytest.fixture
def chinese(page: ConsolePage, console: RunningConsole) -> ConsolePage:
    console.set_status(states.usual(console.script))
    page.open()
    page.click("button[lang=zh]")
    page.until_says("最近变化")
    return page


def test_what_services_really_say_is_said_in_chinese(chinese: ConsolePage) -> None:
    told = spoken.everything()
    assert len(told) > 130
    said = dict(zip(told, say(chinese, told), strict=True))
    assert {text: words for text, words in said.items() if _ENGLISH.search(_NAMES.sub("", words))} == {}


def test_every_sentence_of_the_table_is_recognised(chinese: ConsolePage) -> None:
    wanted = dict(filled_in(english, words) for english, words in chinese_sentences().items())
    said = dict(zip(wanted, say(chinese, list(wanted)), strict=True))
    assert {text: words for text, words in said.items() if words != wanted[text]} == {}


def filled_in(english: str, chinese: str) -> tuple[str, str]:
    """An entry with names of its own as values, of two words where it allows that."""
    values = {name: f"‹{name} 5›" if mark else f"‹{name}›" for mark, name in _PLACE.findall(english)}
    return _PLACE.sub(lambda found: values[found[2]], english), _PLACE.sub(lambda found: values[found[2]], chinese)


def test_lines_are_said_one_by_one(chinese: ConsolePage) -> None:
    line = "age: PSI 0.42, more than 0.10; [▁█] in training (1,000), [█▁] of late (900); ≤ 5: 1 % → 9 %"
    said = "age：PSI 0.42，超过 0.10；[▁█] 训练时（1,000），[█▁] 最近（900）；≤ 5: 1 % → 9 %"
    assert say(chinese, [f"{line}\n{line}"]) == [f"{said}\n{said}"]


def test_what_nobody_knows_stays_as_it_was_said(chinese: ConsolePage) -> None:
    told = ["The cat is wrong, sorry.", "somebody left the house", "<b>x</b>: a, b", "", "x" * 5000, "{model}", "错误"]
    assert say(chinese, told) == told


def test_hostile_texts_take_no_time(chinese: ConsolePage) -> None:
    parts = ("Model ", "A test prediction failed: ", "of the calls of ", ", ", "step 1 of 2: ")
    told = [part * (4000 // len(part)) for part in parts]
    took_ms = chinese.run(
        "return import('/static/core/sentences.js').then((sentences) => { const begun = performance.now();"
        f" {json.dumps(told)}.forEach(sentences.say); return performance.now() - begun; }})"
    )
    assert took_ms < 500


def test_alerts_rollouts_and_changes_are_chinese_where_they_are_shown(
    chinese: ConsolePage, console: RunningConsole
) -> None:
    answers = console.script.gateway.answers
    burns = states.alert(
        summary="Model digits fails too often: 2.10% of its requests in the last 5m, 0.100% are allowed.",
        impact="callers of digits",
        cause="A test prediction failed: The model failed.",
    )
    answers["ListAlerts"] = json_format.ParseDict({"alerts": [burns]}, alerts_pb2.ListAlertsResponse())
    history = [{"at": states.stamp(60), "what": "delivered", "detail": "ops: firing"}]
    answers["GetAlert"] = json_format.ParseDict({"alert": burns, "history": history}, alerts_pb2.GetAlertResponse())
    held = states.rollout(reason="Not settled: latency p50, scores. No answers of version 3 to judge scores by yet.")
    answers["ListRollouts"] = json_format.ParseDict({"rollouts": [held]}, registry_pb2.ListRolloutsResponse())
    broken = states.model("digits", states.UNHEALTHY, "Version 2 is being loaded.")
    problem = "Model digits: Version 2 is being loaded."
    console.set_status(status_of(states.status(broken, condition=states.UNHEALTHY, problems=(problem,))))
    chinese.open()
    chinese.until_says(
        "模型 digits：版本 2 正在加载。", "模型 digits 失败过多：过去 5m 请求的 2.10%", "digits 的调用方"
    )
    chinese.until_says("尚无定论：耗时 p50、分数。还没有版本 3 的应答可用来评判分数。")
    chinese.open("/models/digits")
    chinese.until_says("版本 2 正在加载。", "尚无定论：耗时 p50、分数。", "错误")
    chinese.open("/alerts/0123456789abcdef")
    chinese.until_says("模型 digits 失败过多", "测试预测失败：模型失败。", "ops：告警")
