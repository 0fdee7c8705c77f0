"""Every alert has its runbook, and what a runbook tells to type exists."""

from __future__ import annotations

import re
from pathlib import Path

import click

from lepton_ai.cli import main
from services.health.alerts.causes.layers import LAYER_OF
from services.health.alerts.runbooks import runbook
from services.health.promql.parsing import parse
from services.health.promql.rules.file import read_rules
from services.health.promql.rules.judge import RULE_FAILS

SERVICE = Path(__file__).parents[2] / "services" / "health"
DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "runbooks.md").read_text(encoding="utf-8")
CHINESE = (DOCS / "runbooks.zh.md").read_text(encoding="utf-8")
SECTIONS, CHINESE_SECTIONS = (
    {title.lower(): body for title, body in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.M | re.S)}
    for text in (TEXT, CHINESE)
)


def test_every_alert_leads_to_a_section_of_its_own_or_one_that_names_it() -> None:
    for rule in (rule for group in read_rules() for rule in group.rules if rule.alert):
        page, _, section = rule.annotations["runbook"].partition("#")
        assert page == "docs/runbooks.md"
        assert len(SECTIONS[section]) > 100, rule.alert
    assert RULE_FAILS.lower() in SECTIONS


def test_all_that_health_raises_by_itself_names_a_section_too() -> None:
    sources = [path.read_text(encoding="utf-8") for path in SERVICE.rglob("*.py")]
    named = {each for text in sources for each in re.findall(r"docs/runbooks\.md#(\w+)", text)}
    assert named <= set(SECTIONS)
    assert not any(re.search(r"docs/(?!runbooks)\w+\.md#", text) for text in sources)
    assert {name.lower() for name in LAYER_OF} - {"requestsshed", "modelsomeerrors", "etcdnoleader"} <= {
        *SECTIONS, "diskfillsup", "certificatenearlyexpired"
    }  # fmt: skip


def test_the_section_of_an_alert_is_read_without_its_links() -> None:
    section = runbook("docs/runbooks.md#inferencedown")
    assert section.startswith("Nobody gets predictions")
    assert "see EtcdDown." in section
    assert "](" not in section
    assert runbook("docs/runbooks.md#nothing") == runbook("https://example.org/#modelerrors") == ""


def test_chinese_has_all_of_them_with_the_same_commands() -> None:
    assert CHINESE_SECTIONS.keys() == SECTIONS.keys()
    assert runbook("docs/runbooks.md#inferencedown", "zh").startswith("谁都得不到预测")
    assert runbook("docs/runbooks.md#inferencedown", "fr") == runbook("docs/runbooks.md#inferencedown")
    for name, body in SECTIONS.items():
        assert commands_of(CHINESE_SECTIONS[name]) == commands_of(body), name


def commands_of(text: str) -> set[str]:
    return {" ".join(each.split()) for each in re.findall(r"`([^`]+)`", text)}


def test_references_lead_somewhere() -> None:
    for page, section in re.findall(r"\]\((\w*\.?m?d?)#?(\w*)\)", TEXT + CHINESE):
        assert not page or (DOCS / page).exists()
        assert not section or section in SECTIONS


def test_commands_exist() -> None:
    commands = re.findall(r"(?:^    |`)(lepton [^`#\n]+(?:\n[^`#\n]+)?)", TEXT, re.M)
    assert len(commands) > 40
    for command in commands:
        found: click.Command | None = main
        for word in command.split()[1:]:
            if not isinstance(found, click.Group) or not word.islower() or not word.isalpha():
                break
            found = found.get_command(click.Context(found), word)
            assert found is not None, command


def test_queries_can_be_read() -> None:
    queries = re.findall(r"lepton\s+metrics\s+'([^']+)'", TEXT)
    assert len(queries) > 4
    for query in queries:
        parse(query)
