"""E-mail, Slack, Feishu and all else that apprise can reach, each by an apprise URL or its own webhook's."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from services.health.alerts.memory.records import Delivery
from services.health.alerts.notify.outcome import Outcome
from services.health.alerts.receivers import Receiver

_STATUS = re.compile(r"(?:error=|code=|failed: )(\d{3,6})\b")
_FEISHU = re.compile(r"https://open\.feishu\.cn/open-apis/bot/v2/hook/([\w-]+)/?")
"""What Feishu shows for a robot; apprise knows Lark's and Slack's alike."""
_SERVICES: Mapping[str, tuple[str, ...]] = {"email": ("mailto",), "slack": ("slack",), "feishu": ("feishu", "lark")}
"""Kind of receiver → schemas of apprise that it may be."""


class Messengers:
    """Sends one after the other in a thread of its own, as apprise blocks."""

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="apprise")
        self._heard = _Heard()

    async def send(self, receiver: Receiver, delivery: Delivery) -> Outcome:
        """Make one attempt; a receiver whose url is none of its kind is an outcome, too."""
        address = receiver.address
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.get_running_loop().run_in_executor(
                    self._thread, self._send, receiver.kind, address, delivery
                )
        except TimeoutError:
            return Outcome(f"No answer within {self._timeout_s:g} s.")

    async def close(self) -> None:
        """Wait for what is on its way, which has time limits of its own."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    def _send(self, kind: str, address: str, delivery: Delivery) -> Outcome:
        import apprise  # takes a fifth of a second, and few need it

        self._heard.attach()
        plugin = apprise.Apprise.instantiate(_FEISHU.sub(r"feishu://\1", address), suppress_exceptions=True)
        if plugin is None or (kind in _SERVICES and not isinstance(plugin, _plugins(_SERVICES[kind]))):
            return Outcome(f"Its url is none of {kind}.")
        target = apprise.Apprise()
        target.add(plugin)
        firing = delivery.document["status"] == "firing"
        self._heard.clear()
        is_delivered = target.notify(
            body=str(delivery.document["text"]),
            title=str(delivery.document["title"]),
            notify_type=apprise.NotifyType.FAILURE if firing else apprise.NotifyType.SUCCESS,
            body_format=apprise.NotifyFormat.TEXT,
        )
        return Outcome() if is_delivered else self._heard.outcome()


def _plugins(schemas: Sequence[str]) -> tuple[type, ...]:
    from apprise.manager_plugins import NotificationManager

    manager: Any = NotificationManager()  # type: ignore[no-untyped-call]
    return tuple(manager[schema] for schema in schemas)


class _Heard(logging.Handler):
    """Keeps apprise's log to itself, which holds addresses with their secrets, but for the number of a refusal."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._status: int | None = None

    def attach(self) -> None:
        log = logging.getLogger("apprise")
        if self not in log.handlers:
            log.handlers[:] = [self]
            log.propagate = False

    def clear(self) -> None:
        self._status = None

    def emit(self, record: logging.LogRecord) -> None:
        found = _STATUS.search(record.getMessage())
        if found:
            self._status = int(found[1])

    def outcome(self) -> Outcome:
        if self._status is None:
            return Outcome("It could not be sent: nobody answers at its address, or it was refused.")
        return Outcome(f"The receiver answered {self._status}.", self._status)
