"""Free texts in any language that say about the same are put together, today as yesterday."""

from __future__ import annotations

import random

import pytest

from services.health.feedback.complaints import Complaint, ComplaintGroup, group_complaints
from tests.unit.health.feedback.complaint_texts import OTHER_TEXTS, TEXTS, Texts


def complaints(*texts: str) -> list[Complaint]:
    """In the order of time."""
    return [Complaint(text, 1, float(number)) for number, text in enumerate(texts)]


def shuffled(texts: Texts, seed: int) -> list[tuple[str, str]]:
    found = [(about, text) for about, some in texts.items() for text in some]
    random.Random(seed).shuffle(found)
    return found


def purity_and_spread(texts: Texts, seed: int) -> tuple[float, float]:
    """Share of texts whose group is mostly about the same, and groups for each thing that is complained about."""
    mixed = shuffled(texts, seed)
    about = {text: what for what, text in mixed}
    groups = group_complaints(complaints(*(text for _, text in mixed)))
    assert sum(group.count for group in groups) == len(mixed)
    right = 0
    for members in members_of(groups, [text for _, text in mixed]):
        topics = [about[text] for text in members]
        right += max(topics.count(topic) for topic in topics)
    return right / len(mixed), len(groups) / len(texts)


def members_of(groups: list[ComplaintGroup], texts: list[str]) -> list[list[str]]:
    """Which texts are in which group, by leaving each out: its group is then smaller."""
    from services.health.feedback import complaints as module

    ordered = complaints(*texts)
    vectors = module._vectors(module._features([module._terms(each.text) for each in ordered]))
    numbers = module._assign(vectors, module._lead(vectors))
    found = [[texts[row] for row in range(len(texts)) if numbers[row] == number] for number in set(numbers.tolist())]
    assert sorted(map(len, found)) == sorted(group.count for group in groups)
    return found


@pytest.mark.parametrize("texts", [TEXTS, OTHER_TEXTS], ids=["chosen on", "unseen"])
def test_what_is_about_the_same_comes_together_in_both_languages(texts: Texts) -> None:
    found = [purity_and_spread(texts, seed) for seed in range(6)]
    assert sum(purity for purity, _ in found) / len(found) > 0.8
    assert sum(spread for _, spread in found) / len(found) < 2.0


def test_a_group_is_told_by_a_sentence_and_by_its_words() -> None:
    mixed = [text for _, text in shuffled({about: TEXTS[about] for about in ("crash", "登录", "dogs")}, 3)]
    groups = group_complaints(complaints(*mixed))
    crash = next(group for group in groups if "upload" in group.keys)
    assert crash.example in TEXTS["crash"]
    login = next(group for group in groups if "登录" in group.keys or "密码" in group.keys)
    assert login.example in TEXTS["登录"]


def test_groups_stay_what_they_are_when_more_is_said() -> None:
    texts = [text for about in ("slow", "dogs", "闪退") for text in TEXTS[about]]
    before = {group.id: group.count for group in group_complaints(complaints(*texts))}
    after = {group.id: group.count for group in group_complaints(complaints(*texts, *TEXTS["login"]))}
    large = {identity for identity, count in before.items() if count > 2}
    assert large <= after.keys()
    assert group_complaints(complaints(*texts)) == group_complaints(complaints(*texts)[::-1])


def test_versions_and_times_are_told() -> None:
    said = [Complaint("太慢了", 1, 10.0), Complaint("太慢了！", 2, 20.0), Complaint("太慢了。", 2, 15.0)]
    (group,) = group_complaints(said)
    assert (group.versions, group.first_at, group.last_at) == ({1: 1, 2: 2}, 10.0, 20.0)


def test_texts_without_words_and_no_texts_at_all_do_no_harm() -> None:
    assert group_complaints([]) == []
    assert group_complaints(complaints(" ", "")) == []
    found = group_complaints(complaints("!!!", "123", "🙁", "的", "太慢了"))
    assert sum(group.count for group in found) == 5
