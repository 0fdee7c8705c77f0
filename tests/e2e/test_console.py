"""The console of a real platform in a real browser: it is true, and it opens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from examples.efficientnet_lite0 import NAME, photos
from lepton_ai.testing import eventually
from services.health.console.app import STATIC
from tests.browser import chromium, why_no_browser
from tests.console_page import ConsolePage
from tests.platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def page(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsolePage]:
    if missing := why_no_browser():
        pytest.skip(missing)
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield ConsolePage(browser, platform.state.addresses["console"])


async def predict(platform: Platform, times: int) -> None:
    async with platform.client(trace_ratio=1.0) as client:
        for _ in range(times):
            await client.predict(NAME, photos()[0].path)


def test_the_commands_tell_its_address(platform: Platform) -> None:
    address = platform.state.addresses["console"]
    assert platform.lepton("console", "--no-browser").stdout.strip() == address
    assert json.loads(platform.lepton("console", "--json").stdout) == {"console": address}
    assert json.loads(platform.lepton("status", "--json").stdout)["addresses"]["console"] == address


async def test_calls_are_seen_with_their_rate_and_their_trace(platform: Platform, page: ConsolePage) -> None:
    page.open()
    page.until(lambda: page.verdict() == ("healthy", "All is well"), "all is well")
    await predict(platform, 30)
    page.until(lambda: any(row[0] == NAME and row[3].endswith("/s") for row in page.rows("Models")), "its rate")
    page.open("/topology")
    page.until(lambda: {("client", "inference"), ("inference", "triton")} <= calls(page), "the calls between services")
    page.open("/traces")
    page.click("tr[data-row] a.name")
    page.until_says("Where the time went", "triton", "client")


def calls(page: ConsolePage) -> set[tuple[str, str]]:
    return {(row[0], row[1]) for row in page.rows("Calls") if row[2] != "–"}


def test_a_model_has_a_page_with_all_its_charts(platform: Platform, page: ConsolePage) -> None:
    page.open(f"/models/{NAME}")
    page.until_says("Version 1 answers as it should", "v1 100 %", "Requests a second")
    # Means are drawn from the second step on at which there were batches, and steps take 15 s.
    page.until(lambda: page.count("lepton-chart canvas") == len(panels("model")), "every chart has data", timeout_s=75)


def test_the_platform_is_measured(page: ConsolePage) -> None:
    page.open("/metrics")
    page.until_says("Who is measured")
    page.until(lambda: page.count("lepton-chart canvas") >= len(panels("platform")) - 1, "charts with data")


def test_logs_are_opened_with_the_platforms_token(platform: Platform, page: ConsolePage) -> None:
    page.open("/logs")
    page.click("main button.primary")
    page.fill("token", Path(platform.home / "secrets" / "token").read_text("utf-8").strip())
    page.submit()
    page.until(lambda: "Logs need the token" not in page.text() and page.count("dialog") == 0, "they are open")


def panels(group: str) -> list[dict[str, object]]:
    """Those that are always there: charts of GPUs are only where there is one."""
    found: list[dict[str, object]] = json.loads((STATIC / "panels.json").read_text("utf-8"))[group]
    return [each for each in found if not each.get("optional")]


@pytest.mark.parametrize(
    ("group", "name"),
    [(group, each["name"]) for group in ("model", "platform") for each in panels(group)],
)
async def test_every_chart_draws_something_on_a_platform_with_traffic(
    platform: Platform, group: str, name: str
) -> None:
    (panel,) = [each for each in panels(group) if each["name"] == name]
    lines = panel.get("lines") or {"": panel["expression"]}
    assert isinstance(lines, dict)
    if name == "service_errors":  # there are none on a platform that is well, which is what is asked
        lines = {"": str(panel["expression"]).replace('!="OK"', '=~".+"')}
    await predict(platform, 3)
    for expression in lines.values():
        asked = str(expression).replace("$model", NAME).replace("$window", "60s")

        async def has_values(asked: str = asked) -> bool:
            return bool(ask(platform, asked))

        await eventually(has_values, timeout_s=30, description=f"{asked} has a value")


def ask(platform: Platform, expression: str) -> list[dict[str, object]]:
    url = f"{platform.state.addresses['console']}/api/rpc/MetricsService/Query"
    answer = httpx.get(url, params={"request": json.dumps({"expression": expression})}, timeout=10, trust_env=False)
    samples: list[dict[str, object]] = answer.raise_for_status().json()["samples"]
    return samples
