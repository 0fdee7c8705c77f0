"""The console as a person sees it: what stands there, and what can be done. Tests talk to this, not to elements."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

T = TypeVar("T")
_TIMEOUT_S = 20.0
_POLL_S = 0.05


class ConsolePage:
    """One tab that shows one console."""

    def __init__(self, browser: WebDriver, url: str) -> None:
        self._browser = browser
        self._url = url

    def open(self, path: str = "/") -> ConsolePage:
        """Load a view, and wait until it has heard from the service."""
        self._browser.get(self._url + path)
        self.until(lambda: bool(self._find("main")), f"{path} is drawn")
        return self

    def forget(self) -> None:
        """As if this browser had never been here."""
        self._browser.get(f"{self._url}/static/icon.svg")
        self._browser.execute_script("localStorage.clear(); sessionStorage.clear()")

    def verdict(self) -> tuple[str, str]:
        """(condition, sentence) of the first screen; empty while there is none."""
        found = self._find("[data-testid=verdict]")
        return (
            (str(found.get_attribute("data-condition")), found.find_element(By.TAG_NAME, "h1").text)
            if found
            else ("", "")
        )

    def text(self) -> str:
        """All that stands in the view."""
        found = self._find("main")
        return found.text if found else ""

    def side_text(self) -> str:
        """All that stands beside the view."""
        return self._browser.find_element(By.CSS_SELECTOR, "nav").text

    def banner(self) -> str:
        found = self._find(".banner")
        return found.text if found else ""

    def rows(self, label: str) -> list[list[str]]:
        """The cells of a table that is called so."""
        script = (
            "return [...document.querySelectorAll('table')].filter((t) => t.ariaLabel === arguments[0])"
            ".flatMap((t) => [...t.tBodies[0].rows].map((r) => [...r.cells].map((c) => c.innerText.trim())))"
        )
        found: list[list[str]] = self._browser.execute_script(script, label)
        return found

    def count(self, selector: str) -> int:
        return len(self._browser.find_elements(By.CSS_SELECTOR, selector))

    def attribute(self, selector: str, name: str) -> str:
        found = self._find(selector)
        return str(found.get_attribute(name)) if found else ""

    def path(self) -> str:
        """Where it is."""
        return str(self._browser.current_url).removeprefix(self._url)

    def press(self, *keys: str) -> None:
        """Keys, as if typed into nothing."""
        body = self._browser.switch_to.active_element
        for key in keys:
            body.send_keys(key)

    def click(self, selector: str) -> None:
        """The first that can be seen."""
        self.until(lambda: self._clicked(selector), f"{selector} can be clicked")

    def click_text(self, tag: str, text: str) -> None:
        """The first element with this text."""

        def clicked() -> bool:
            for found in self._browser.find_elements(By.TAG_NAME, tag):
                if found.text == text and found.is_displayed():
                    found.click()
                    return True
            return False

        self.until(clicked, f"{text!r} can be clicked")

    def fill(self, name: str, value: str) -> None:
        """Write into a field of the dialog or view."""
        field = self._browser.find_element(By.CSS_SELECTOR, f"[name={name}]")
        field.clear()
        field.send_keys(value)

    def search(self, text: str) -> None:
        """Type after `/`."""
        self.press("/")
        self._browser.switch_to.active_element.send_keys(text)

    def submit(self) -> None:
        """The dialog's main button."""
        self.click("dialog[open] button[type=submit]")

    def enter(self) -> None:
        self._browser.switch_to.active_element.send_keys(Keys.ENTER)

    def resize(self, width: int, height: int = 900) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, scheme: str) -> None:
        """Dark or light, as the person's system says."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def run(self, script: str) -> Any:
        return self._browser.execute_script(script)

    def overflow_px(self) -> int:
        """How much wider the page is than the window."""
        return int(self.run("return document.documentElement.scrollWidth - window.innerWidth"))

    def complaints(self) -> list[str]:
        """What the browser has complained of since the last time: faults of scripts, what the policy forbade."""
        severe = [each for each in self._browser.get_log("browser") if each["level"] == "SEVERE"]  # type: ignore[no-untyped-call, unused-ignore]
        return [str(each["message"]) for each in severe]

    def until(self, holds: Callable[[], T], description: str, *, timeout_s: float = _TIMEOUT_S) -> T:
        """Wait until it holds; what is drawn anew meanwhile is looked at again."""
        end_s = time.monotonic() + timeout_s
        while True:
            try:
                if found := holds():
                    return found
            except StaleElementReferenceException:
                pass
            if time.monotonic() > end_s:
                raise AssertionError(f"not within {timeout_s:g} s: {description}. The view says: {self.text()[:1500]}")
            time.sleep(_POLL_S)

    def until_says(self, *texts: str) -> str:
        """Wait until all of these stand in the view."""
        self.until(lambda: all(each in self.text() for each in texts), f"it says {texts}")
        return self.text()

    def _clicked(self, selector: str) -> bool:
        found: Sequence[WebElement] = self._browser.find_elements(By.CSS_SELECTOR, selector)
        shown = next((each for each in found if each.is_displayed()), None)
        if shown is None:
            return False
        self._browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", shown)
        shown.click()
        return True

    def _find(self, selector: str) -> WebElement | None:
        found = self._browser.find_elements(By.CSS_SELECTOR, selector)
        return found[0] if found else None
