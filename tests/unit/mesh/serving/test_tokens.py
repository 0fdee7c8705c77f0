"""Tokens with names: who shows one is known, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_ai.credentials import token_metadata
from lepton_ai.errors import AlreadyExists, FailedPrecondition, InvalidInput, NotFound
from lepton_ai.mesh.serving.tokens import Tokens, create_token, delete_token, read_tokens


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def test_whoever_shows_a_token_is_known_by_its_name(file: Path) -> None:
    alice, bob = create_token(file, "alice"), create_token(file, "bob@work")
    tokens = Tokens("s3cret", file)
    assert tokens.identify(token_metadata(alice)) == "alice"
    assert tokens.identify(token_metadata(bob)) == "bob@work"
    assert tokens.identify(token_metadata("s3cret")) == ""
    for metadata in ((), token_metadata("other"), token_metadata(alice[:-1]), (("authorization", alice),)):
        assert tokens.identify(metadata) is None


def test_the_file_has_no_token_in_it(file: Path) -> None:
    token = create_token(file, "alice")
    assert token not in file.read_text()
    assert Tokens("", file).identify(token_metadata(read_tokens(file)["alice"])) is None


def test_tokens_are_given_and_taken_while_a_service_runs(file: Path) -> None:
    file.touch()
    tokens = Tokens("", file)
    alice = create_token(file, "alice")
    assert tokens.identify(token_metadata(alice)) == "alice"
    delete_token(file, "alice")
    assert tokens.identify(token_metadata(alice)) is None
    with pytest.raises(NotFound):
        delete_token(file, "alice")


def test_a_name_has_one_token(file: Path) -> None:
    create_token(file, "alice")
    with pytest.raises(AlreadyExists):
        create_token(file, "alice")


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "#a", "a" * 65, "王"])
def test_names_are_plain(file: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        create_token(file, name)


@pytest.mark.parametrize("content", ["alice", "alice s3cret", f"alice {'0' * 64} more", "\udcff"])
def test_a_file_of_something_else_is_refused(file: Path, content: str) -> None:
    file.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(FailedPrecondition, match="LEPTON_TOKENS_FILE"):
        read_tokens(file)


def test_comments_and_empty_lines_are_passed_over(file: Path) -> None:
    file.write_text(f"# people\n\nalice {'0' * 64}  # until May\n")
    assert read_tokens(file) == {"alice": "0" * 64}


def test_without_any_token_none_is_needed() -> None:
    assert not Tokens()
    assert Tokens("s3cret")
    assert Tokens(file=Path("tokens"))
