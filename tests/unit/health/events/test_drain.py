"""Messages of one log statement come into one group, others into others; the tree is bounded, and so is its memory."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.health.events.logs.drain import Drain, split
from services.health.events.logs.masking import mask
from tests.unit.health.events.labelled_logs import MESSAGES

WORDS = st.sampled_from(("loading", "of", "the", "model", "failed", "as", "it", "was", "away", "重启", "模型", "etcd"))
VALUES = st.one_of(
    st.integers(0, 10**9).map(str),
    st.integers(1, 254).map(lambda last: f"10.0.0.{last}:8500"),
    st.uuids().map(str),
    st.from_regex(r"/[a-z]{1,8}/[a-z0-9]{1,8}\.onnx", fullmatch=True),
    st.from_regex(r"'[a-z ]{0,12}'", fullmatch=True),
)


def grouping_accuracy(messages: list[tuple[int, str]]) -> float:
    """The share of messages that are in a group with all of their like and with nothing else (He et al. 2017)."""
    drain = Drain(max_groups=1000)
    meant, found = defaultdict(set), defaultdict(set)
    for index, (label, message) in enumerate(messages):
        meant[label].add(index)
        found[drain.add(message).number].add(index)
    right = [group for group in found.values() if group in meant.values()]
    return sum(map(len, right)) / len(messages)


@pytest.mark.parametrize("seed", range(5))
def test_messages_of_the_platform_are_grouped_by_the_statement_that_wrote_them(seed: int) -> None:
    messages = [(label, message) for label, group in enumerate(MESSAGES) for message in group]
    random.Random(seed).shuffle(messages)
    assert grouping_accuracy(messages) >= 0.97


@pytest.mark.parametrize(
    ("message", "masked"),
    [
        ("process 4711, so", "process <n>, so"),
        ("took 12ms of 3.5s at 10%", "took <n>ms of <n>s at <n>%"),
        ("10.0.0.7:8500 and [::1]:80 and etcd-0.etcd:2379", "<addr> and <addr> and <addr>"),
        ("opened /var/lib/x/y.sqlite for 'bob'", "opened <path> for <text>"),
        ("it doesn't say 'no'", "it doesn't say <text>"),
        ("id 3f2504e0-4f89-41d3-9a0c-0305e82c3301", "id <id>"),
        ("hash 0f3a9b77c1d2… and 0xBEEF", "hash <hex>… and <hex>"),
        ("see https://x.example/a?b=1 now", "see <url> now"),
        ("剩余12MiB，模型“猫”", "剩余<n>MiB，模型<text>"),
        ("efficientnet-lite0 v2", "efficientnet-lite0 v2"),
        ("first line\nsecond line", "first line"),
    ],
)
def test_what_a_message_names_is_masked(message: str, masked: str) -> None:
    assert mask(message) == masked


@given(st.lists(WORDS, min_size=1, max_size=8), st.data())
@settings(max_examples=30)
def test_messages_that_differ_in_what_they_name_are_in_one_group(words: list[str], data: st.DataObject) -> None:
    drain = Drain(max_groups=100)
    place = data.draw(st.integers(0, len(words)))
    kind = data.draw(st.sampled_from((st.integers(0, 10**9).map(str), st.uuids().map(str))))
    numbers = {
        drain.add(" ".join([*words[:place], data.draw(kind), *words[place:]])).number
        for _ in range(data.draw(st.integers(2, 5)))
    }
    assert len(numbers) == 1


@given(st.lists(st.text(max_size=60), max_size=60), st.integers(1, 10))
@settings(max_examples=30)
def test_there_are_never_more_groups_than_allowed_and_the_tree_holds_no_others(texts: list[str], most: int) -> None:
    drain = Drain(max_groups=most)
    numbers = [drain.add(text).number for text in texts]
    assert len(drain) <= most
    assert len(set(numbers)) - len(drain) == len(drain.take_forgotten())
    assert count_leaves(drain) == len(drain)


def count_leaves(drain: Drain) -> int:
    pending, groups = [drain._root], 0
    while pending:
        node = pending.pop()
        assert node.children or node.groups or node is drain._root, "an empty node was left"
        groups += len(node.groups)
        pending += node.children.values()
    return groups


@given(st.lists(st.tuples(WORDS, VALUES, WORDS), min_size=1, max_size=15))
@settings(max_examples=30)
def test_a_restored_tree_knows_the_groups_again(messages: list[tuple[str, str, str]]) -> None:
    drain = Drain(max_groups=1000)
    texts = [" ".join(each) for each in messages]
    groups = {text: drain.add(text, scope="s") for text in texts}
    restored = Drain(max_groups=1000)
    for number, group in {group.number: group for group in groups.values()}.items():
        restored.restore(number, group.scope, group.template)
    assert {text: restored.add(text, scope="s").number for text in texts} == {
        text: group.number for text, group in groups.items()
    }


def test_scopes_keep_equal_messages_apart() -> None:
    drain = Drain(max_groups=10)
    assert drain.add("it failed", scope="a").number != drain.add("it failed", scope="b").number


def test_plain_words_do_not_vary_until_everything_is_one_group() -> None:
    drain = Drain(max_groups=100)
    groups = {drain.add(f"the {a} {b} {c} is gone").number for a in "abc" for b in "def" for c in "ghi"}
    assert len(groups) > 1
    assert all("gone" in group.template for group in drain._groups.values())


def test_many_first_words_share_a_level_of_the_tree() -> None:
    drain = Drain(max_groups=10_000)
    for index in range(300):
        drain.add("".join(chr(97 + int(digit)) for digit in f"{index:03}") + " is another beginning of a message")
    assert len(next(iter(drain._root.children.values())).children) <= 101


@given(st.text(max_size=100))
@settings(max_examples=30)
def test_words_keep_the_message_but_for_its_spaces(text: str) -> None:
    kept = "".join("".join(split(text)).split())
    assert "".join(text.split()).startswith(kept)
