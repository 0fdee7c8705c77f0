"""A console with scripted answers on a real port, and a real browser that looks at it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from lepton_ai.mesh.serving.http.server import HttpServer, listen
from tests.browser import chromium, why_no_browser
from tests.console import TOKEN, ScriptedConsole
from tests.console_page import ConsolePage
from tests.integration.health.console import states

if TYPE_CHECKING:
    from pathlib import Path

    from selenium.webdriver.chrome.webdriver import WebDriver

    from lepton_ai.v1 import health_pb2


class RunningConsole:
    """A scripted console in a thread of its own: selenium blocks the test's."""

    def __init__(self) -> None:
        self.script: ScriptedConsole
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self, port: int = 0) -> None:
        if not self._thread.is_alive():
            self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(port), self._loop).result(10)

    def set_status(self, status: health_pb2.PlatformStatus) -> None:
        self._loop.call_soon_threadsafe(self.script.status.set, status)

    def do(self, change: Callable[[], object]) -> None:
        """Something on the console's own thread."""
        self._loop.call_soon_threadsafe(change)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(15)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _start(self, port: int) -> None:
        self.script = ScriptedConsole()
        listener = listen("127.0.0.1", port, setting="LEPTON_CONSOLE_PORT")
        self.port = listener.getsockname()[1]
        self._http = HttpServer(self.script.app, drain_s=1)
        await self._http.start([listener])

    async def _stop(self) -> None:
        self.script.draining.set()
        await self.script.feed.close()
        await self._http.stop()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    if missing := why_no_browser():
        pytest.skip(missing)
    profile: Path = tmp_path_factory.mktemp("chromium")
    with chromium(profile) as opened:
        yield opened


@pytest.fixture
def console() -> Iterator[RunningConsole]:
    running = RunningConsole()
    running.start()
    yield running
    running.stop()
    running.close()


@pytest.fixture
def page(browser: WebDriver, console: RunningConsole) -> Iterator[ConsolePage]:
    """The console in a tab; at the end nothing may have gone wrong in it."""
    opened = ConsolePage(browser, f"http://127.0.0.1:{console.port}")
    opened.forget()
    opened.resize(1280)
    opened.prefer("light")
    opened.complaints()
    yield opened
    complaints = [each for each in opened.complaints() if "Failed to load resource" not in each]
    assert complaints == []


def show_usual(console: RunningConsole) -> None:
    """A platform as it is most of the time."""
    console.set_status(states.usual(console.script))


def unlock(page: ConsolePage) -> None:
    """Give the token that actions need."""
    page.fill("token", TOKEN)
    page.submit()
