"""What an error says when it is printed."""

from __future__ import annotations

from lepton_ai.errors import InvalidInput, NotFound


def test_what_is_wrong_and_what_to_do_are_two_sentences() -> None:
    assert (
        str(InvalidInput.of_field("a", "holds int, str", fix="Give one type.")) == "a: holds int, str. Give one type."
    )
    assert str(NotFound("There is no file.", fix="Check the path.")) == "There is no file. Check the path."
    assert str(NotFound("There is no file")) == "There is no file"
