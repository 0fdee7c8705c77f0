"""`lepton audit`: what it prints and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lepton_ai.cli import main
from lepton_ai.cli.catalogue import audit as command
from lepton_ai.v1 import registry_pb2 as pb

ENTRY = pb.AuditEntry(
    id=7,
    actor="token:alice ipv4:127.0.0.1:5",
    action="deploy",
    model="resnet",
    after_json='{"版本": 3}',
    hash="ab" * 32,
)


class _Client:
    def __init__(self, found: pb.VerifyAuditResponse) -> None:
        self._found = found
        self.asked: dict[str, Any] = {}

    def audit(self, model: str, **asked: Any) -> list[pb.AuditEntry]:
        self.asked = {"model": model, **asked}
        return [ENTRY]

    def verify_audit(self, anchor: str) -> pb.VerifyAuditResponse:
        self.asked = {"anchor": anchor}
        return self._found


def run(monkeypatch: pytest.MonkeyPatch, *words: str, **found: Any) -> tuple[Any, _Client]:
    client = _Client(pb.VerifyAuditResponse(**{"entries": 7, "newest_hash": "cd" * 32, "anchored": True, **found}))

    @contextmanager
    def client_for(_home: Path) -> Iterator[_Client]:
        yield client

    monkeypatch.setattr(command, "client_for", client_for)
    with pytest.raises(SystemExit) as caught:
        main(["audit", *words])
    return caught.value.code, client


def test_the_trail_is_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, client = run(monkeypatch, "--model", "resnet", "--since", "2026-01-02", "--limit", "5")
    assert code == 0
    assert (client.asked["model"], client.asked["limit"], client.asked["since"].year) == ("resnet", 5, 2026)
    shown = capsys.readouterr().out
    for word in ("token:alice", "deploy", "resnet", '{"版本": 3}'):
        assert word in shown


def test_json_holds_what_changed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, "--json")
    (entry,) = json.loads(capsys.readouterr().out)
    assert (entry["id"], entry["before"], entry["after"], entry["hash"]) == (7, None, {"版本": 3}, "ab" * 32)


def test_a_whole_trail_gives_the_next_anchor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, client = run(monkeypatch, "verify", "--anchor", "ef" * 32)
    assert (code, client.asked) == (0, {"anchor": "ef" * 32})
    assert capsys.readouterr().out.strip() == "cd" * 32


def test_a_broken_trail_names_the_first_broken_entry(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = run(monkeypatch, "verify", broken=8)
    assert code == 1
    assert "Entry 8 does not follow from the 7 before it" in capsys.readouterr().out


def test_a_trail_without_the_anchor_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = run(monkeypatch, "verify", "--anchor", "ef" * 32, anchored=False)
    assert code == 1
    assert "None of the 7 entries has the anchor's hash" in capsys.readouterr().out
