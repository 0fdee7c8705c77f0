"""Showing a token and knowing it."""

from __future__ import annotations

import pytest

from lepton_ai.credentials import actor_metadata, said_actor, shown_tokens, token_metadata


def test_a_token_that_is_shown_is_known() -> None:
    assert shown_tokens((("lepton-actor", "me"), *token_metadata("s3cret"))) == [b"s3cret"]


def test_without_a_token_nothing_is_shown() -> None:
    assert token_metadata("") == ()


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        (),
        token_metadata("other"),
        token_metadata("s3cret0"),
        (("authorization", "s3cret"),),
        (("authorization", "Basic s3cret"),),
        (("authorization", b"Bearer \xff"),),
        (("x-authorization", "Bearer s3cret"),),
    ],
)
def test_nothing_else_is_taken_for_the_token(metadata: tuple[tuple[str, str | bytes], ...] | None) -> None:
    assert b"s3cret" not in shown_tokens(metadata)


@pytest.mark.parametrize("name", ["ci-bot", "王小明", "a b@c (d)", "100 %"])
def test_whoever_calls_can_say_who_they_are(name: str) -> None:
    metadata = actor_metadata({"LEPTON_ACTOR": name})
    assert all(value.isascii() for _, value in metadata)
    assert said_actor(metadata) == name


def test_without_a_name_it_is_the_user_and_the_machine() -> None:
    assert "@" in said_actor(actor_metadata({}))


def test_what_cannot_be_printed_is_left_out() -> None:
    assert said_actor((("lepton-actor", "a%0Ab%1B"),)) == "ab"
