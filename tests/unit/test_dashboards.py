"""Dashboards are right as documents; that their queries find something is tested in tests/e2e/test_monitoring.py."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from services.health.promql.parsing import parse
from tests.promql.dashboards import DASHBOARDS, documents, queries, used_variables

PROVISIONING = DASHBOARDS.parent / "provisioning"
each_dashboard = pytest.mark.parametrize("document", documents().values(), ids=documents().keys())


@each_dashboard
def test_panels_do_not_overlap_and_have_titles_and_numbers_of_their_own(document: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        place = panel["gridPos"]
        fields = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not taken & fields, panel["title"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        taken |= fields
    assert len({panel["id"] for panel in document["panels"]}) == len(document["panels"])
    assert all(panel["title"] for panel in document["panels"])


@each_dashboard
def test_variables_are_those_that_queries_use(document: dict[str, Any]) -> None:
    assert {variable["name"] for variable in document["templating"]["list"]} == used_variables(document)


@each_dashboard
def test_links_and_queries_have_all_that_grafana_asks_of_them(document: dict[str, Any]) -> None:
    """The fields that the types of @grafana/schema do not leave out; Grafana itself cannot be run here."""
    link = {"asDropdown", "icon", "includeVars", "keepTime", "tags", "targetBlank", "title", "tooltip", "type", "url"}
    assert all(set(each) == link for each in document["links"])
    for panel in document["panels"]:
        assert {"id", "type", "title", "gridPos"} <= set(panel)
        assert panel["type"] == "row" or {"datasource", "targets", "fieldConfig", "options"} <= set(panel), panel[
            "title"
        ]
        assert all({"refId", "expr", "datasource"} <= set(each) for each in panel.get("targets", ()))


def test_every_query_can_be_read() -> None:
    for query in queries():
        parse(query.expression)


def test_names_and_numbers_of_dashboards_are_their_own() -> None:
    found = list(documents().values())
    assert len({each["uid"] for each in found}) == len({each["title"] for each in found}) == len(found) == 4


def test_panels_ask_the_sources_that_are_provisioned_and_durations_lead_to_traces() -> None:
    sources = yaml.safe_load((PROVISIONING / "datasources" / "lepton.yml").read_text(encoding="utf-8"))["datasources"]
    by_uid = {source["uid"]: source for source in sources}
    used = {
        panel["datasource"]["uid"] for each in documents().values() for panel in each["panels"] if "targets" in panel
    }
    assert used == {"prometheus"}
    (destination,) = by_uid["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert destination["name"] == "trace_id"
    assert by_uid[destination["datasourceUid"]]["type"] == "jaeger"
    with_exemplars = {
        panel["title"]
        for each in documents().values()
        for panel in each["panels"]
        if any(target.get("exemplar") for target in panel.get("targets", ()))
    }
    assert {"Duration", "Duration: 99th percentile"} <= with_exemplars
