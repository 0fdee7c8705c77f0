"""Regular expressions of users: Prometheus's, in bounded time whatever they are."""

import time

import pytest

from lepton_ai.errors import InvalidInput
from services.health.metrics.patterns import compile_groups, compile_pattern
from services.health.metrics.series import Matcher

LONGEST = "a" * 1023 + "!"
"""A label's value is at most so long."""
HOSTILE = ["(a+)+$", "(a|aa)+$", "(.*)*x", "([a-zA-Z]+)*$", "(a?){20}a{20}x", "(.*a){20}x", "(x+x+)+y"]


@pytest.mark.parametrize("expression", HOSTILE)
def test_an_expression_that_would_take_years_by_backtracking_answers_at_once(expression: str) -> None:
    began = time.process_time()
    assert not Matcher("label", "=~", expression).matches({"label": LONGEST})
    assert compile_groups(expression).fullmatch(LONGEST) is None
    assert time.process_time() - began < 0.1


@pytest.mark.parametrize("expression", ["(a", "a{9999}", r"(a)\1", "(?=a)", "\ud800", r"(\pL{100}){100}"])
def test_what_re2_does_not_have_is_an_error_of_the_caller(expression: str) -> None:
    with pytest.raises(InvalidInput, match="no regular expression"):
        Matcher("label", "=~", expression).check()
    with pytest.raises(InvalidInput, match="no regular expression"):
        compile_groups(expression)


@pytest.mark.parametrize("expression", ["(.*)" * 21, "(.*a){500}"])
def test_groups_are_few_as_each_costs_at_every_character(expression: str) -> None:
    with pytest.raises(InvalidInput, match="too large"):
        compile_groups(expression)


def test_an_expression_may_name_hundreds_of_models() -> None:
    names = [f"model-{number}" for number in range(300)]
    assert Matcher("model", "=~", "|".join(names)).matches({"model": "model-299"})


def test_the_whole_text_must_match_and_characters_are_whole() -> None:
    pattern = compile_pattern("猫|模型.")
    assert [text for text in ("猫", "模型一", "模型", "小猫") if pattern.fullmatch(text)] == ["猫", "模型一"]
