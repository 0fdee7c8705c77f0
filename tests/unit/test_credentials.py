"""Showing a token and knowing it."""

from __future__ import annotations

import pytest

from lepton_ai.credentials import shows_token, token_metadata


def test_a_token_that_is_shown_is_known() -> None:
    assert shows_token((("lepton-actor", "me"), *token_metadata("s3cret")), "s3cret")


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
    assert not shows_token(metadata, "s3cret")
