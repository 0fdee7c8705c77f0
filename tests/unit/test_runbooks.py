"""Every alert has its runbook, and what a runbook tells to type exists."""

from __future__ import annotations

import re
from pathlib import Path

import click

from lepton_ai.cli import main
from services.health.promql.parsing import parse
from services.health.promql.rules.file import read_rules
from services.health.promql.rules.judge import RULE_FAILS

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "runbooks.md").read_text(encoding="utf-8")
SECTIONS = {title.lower(): body for title, body in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)}


def test_every_alert_leads_to_a_section_of_its_own_or_one_that_names_it() -> None:
    for rule in (rule for group in read_rules() for rule in group.rules if rule.alert):
        page, _, section = rule.annotations["runbook"].partition("#")
        assert page == "docs/runbooks.md"
        assert len(SECTIONS[section]) > 100, rule.alert
    assert RULE_FAILS.lower() in SECTIONS


def test_references_lead_somewhere() -> None:
    for page, section in re.findall(r"\]\((\w*\.?m?d?)#?(\w*)\)", TEXT):
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
