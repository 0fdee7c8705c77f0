"""What `lepton health` prints of a status."""

from __future__ import annotations

import pytest

from lepton_ai.cli import health
from lepton_ai.v1 import health_pb2 as pb


def test_a_stale_status_is_called_so_beside_the_platform(capsys: pytest.CaptureFixture[str]) -> None:
    status = pb.PlatformStatus(condition=pb.CONDITION_DEGRADED, problems=["Stale since then."])
    status.stale_since.FromSeconds(1_795_258_201)
    health._print_status(status)
    printed = capsys.readouterr()
    assert "stale since 2026-11-21 10:50:01 UTC" in printed.out
    assert "Stale since then." in printed.err


def test_a_fresh_status_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    health._print_status(pb.PlatformStatus(condition=pb.CONDITION_HEALTHY))
    assert "stale" not in capsys.readouterr().out
