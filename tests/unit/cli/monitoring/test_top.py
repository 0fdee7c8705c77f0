"""`lepton top` on a terminal: it goes on while health is away, and ends with Ctrl-C."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from rich.console import Console

from lepton_ai.cli.monitoring import top
from lepton_ai.errors import Unavailable
from lepton_ai.v1 import alerts_pb2, health_pb2, metrics_pb2


class Watched:
    """A client whose answers come one after the other."""

    def __init__(self, *answers: Callable[[], health_pb2.PlatformStatus]) -> None:
        self._answers = iter(answers)

    def status(self) -> health_pb2.PlatformStatus:
        return next(self._answers)()

    def kpis(self, **_: Any) -> metrics_pb2.ListKpisResponse:
        return metrics_pb2.ListKpisResponse()

    def alerts(self) -> Sequence[alerts_pb2.Alert]:
        return ()


def healthy() -> health_pb2.PlatformStatus:
    return health_pb2.PlatformStatus(condition=health_pb2.CONDITION_HEALTHY)


def away() -> health_pb2.PlatformStatus:
    raise Unavailable("The health service does not answer.", fix="Look at lepton status.")


def interrupt() -> health_pb2.PlatformStatus:
    raise KeyboardInterrupt


def test_it_goes_on_while_health_is_away_and_ends_with_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(top, "console", lambda: Console(file=out, force_terminal=True, width=60, height=20))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    top._watch(cast(Any, Watched(healthy, away, healthy, interrupt)), 2.0)
    shown = out.getvalue()
    assert shown.count("The platform is") >= 3, "what was seen last stays while there is nothing newer"
    assert "The health service does not answer. Look at lepton" in shown
