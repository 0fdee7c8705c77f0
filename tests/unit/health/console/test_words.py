"""The page's languages: each has words for everything, and the page asks for no others."""

from __future__ import annotations

import re
from pathlib import Path

from services.health.console.app import STATIC

SOURCES = [path for folder in ("core", "parts", "views") for path in sorted((STATIC / folder).glob("*.js"))]
TEXTS = ("words_", "sentences_")
CODE = "\n".join(path.read_text("utf-8") for path in [*SOURCES, STATIC / "main.js"] if not path.name.startswith(TEXTS))
_KEY = re.compile(r'(?:^|[\s,{])"?([a-z_]+(?:\.[A-Za-z0-9_]+)*)"?: "((?:[^"\\]|\\.)*)"')


def words(language: str) -> dict[str, str]:
    text = (STATIC / "core" / f"words_{language}.js").read_text("utf-8")
    found = _KEY.findall(text)
    assert len(found) == len(dict(found)), "a key stands there twice"
    return dict(found)


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def test_all_languages_have_the_same_keys() -> None:
    assert sorted(words("en")) == sorted(words("zh"))


def test_translations_have_the_same_values_to_fill_in() -> None:
    english, chinese = words("en"), words("zh")
    # A count that only chooses between one and many in English is not always written in Chinese.
    wrong = {
        key: (text, chinese[key])
        for key, text in english.items()
        if placeholders(chinese[key]) - {"n"} != placeholders(text) - {"n"}
    }
    assert wrong == {}


def test_every_key_that_the_page_names_has_words() -> None:
    named = set(re.findall(r'\bt\(\s*"([^"]+)"', CODE)) | set(re.findall(r'\bt\([^()"`]*\? "([^"]+)" : "[^"]+"', CODE))
    named |= set(re.findall(r'\bt\([^()"`]*\? "[^"]+" : "([^"]+)"', CODE))
    assert named
    assert sorted(named - words("en").keys()) == []


BUILT = {
    "alert_state", "cause", "condition", "drift_verdict", "drifting", "feedback_state", "happening", "kind", "kpi",
    "level", "notification", "outcome", "panel", "place", "rollout", "served", "seen_in", "severity", "theme",
    "topology", "version_state",
}  # fmt: skip
"""Groups of keys of which the page makes the second part."""


def test_every_key_is_used() -> None:
    unused = [key for key in words("en") if f'"{key}"' not in CODE and key.rpartition(".")[0] not in BUILT]
    assert unused == []


def test_no_view_writes_words_of_its_own() -> None:
    """Texts come from the dictionaries: a literal child that begins with a capital letter and has a space is one."""
    wrong = [
        (path.name, text)
        for path in SOURCES
        if not path.name.startswith(TEXTS)
        for text in re.findall(r'(?:null|\}), "([A-Z][a-z]+ [a-z ]+)"', path.read_text("utf-8"))
    ]
    assert wrong == []


def test_no_page_loads_anything_from_elsewhere() -> None:
    files = [
        path
        for path in STATIC.rglob("*")
        if path.suffix in (".js", ".css", ".html", ".json") and "vendor" not in path.parts
    ]
    wrong = [
        f"{path.name}: {found}"
        for path in files
        for found in re.findall(
            r'(?:import\("|from "|src="|href="|url\(|fetch\("?)(https?:[^")]+)', path.read_text("utf-8")
        )
    ]
    assert wrong == []


def test_vendored_files_have_their_licence() -> None:
    for folder in Path(STATIC / "vendor").iterdir():
        assert "Permission is hereby granted" in (folder / "LICENSE").read_text("utf-8")


def test_no_code_makes_markup_of_data() -> None:
    assert (
        re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|setAttribute\(\"style", CODE
        )
        == []
    )
