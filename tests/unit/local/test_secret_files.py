"""Secrets of a run directory: made once, kept, for this user's eyes only."""

from __future__ import annotations

import stat
from pathlib import Path

from lepton_ai.local.secret_files import ensure_secret, read_secret_file


def test_a_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    secret = read_secret_file(ensure_secret(tmp_path / "token"))
    assert len(secret) >= 32
    assert read_secret_file(ensure_secret(tmp_path / "token")) == secret
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_no_two_are_alike(tmp_path: Path) -> None:
    first, second = (read_secret_file(ensure_secret(tmp_path / name)) for name in ("a", "b"))
    assert first != second


def test_only_this_user_can_read_it(tmp_path: Path) -> None:
    ensure_secret(tmp_path / "token")
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_one_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("known")
    (tmp_path / "token").chmod(0o644)
    assert read_secret_file(ensure_secret(tmp_path / "token")) == "known"
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_what_a_crash_left_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("")
    (tmp_path / ".token.new").write_text("half")
    assert len(read_secret_file(ensure_secret(tmp_path / "token"))) >= 32
