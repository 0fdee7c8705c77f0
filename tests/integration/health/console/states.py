"""States of a platform that a console is to show: usual, huge, and full of malice."""

from __future__ import annotations

import time
from typing import Any

from google.protobuf import json_format

from lepton_ai.v1 import alerts_pb2, drift_pb2, events_pb2, feedback_pb2, health_pb2, metrics_pb2, registry_pb2
from tests.console import Json, ScriptedConsole, status_of

HEALTHY, DEGRADED, UNHEALTHY = "CONDITION_HEALTHY", "CONDITION_DEGRADED", "CONDITION_UNHEALTHY"
ATTACK = '<img src=x onerror="window.attacked=1"><script>window.attacked=1</script>\'"]]>{{7*7}}'


def stamp(ago_s: float = 0.0) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - ago_s))


def replica(address: str, condition: str = HEALTHY, message: str = "") -> Json:
    return {"address": address, "condition": condition, "message": message}


def model(name: str, condition: str = HEALTHY, message: str = "") -> Json:
    served = [{"replica": "10.0.0.1:8500", "status": {"model": name, "version": 2, "state": "VERSION_STATE_SERVING"}}]
    probe = {"succeeded": condition == HEALTHY, "model_version": 2, "error": message}
    return {
        "name": name,
        "condition": condition,
        "message": message,
        "production_version": 2,
        "served": served,
        "last_probe": probe,
    }


def status(
    *models: Json, condition: str = HEALTHY, replicas: int = 1, problems: tuple[str, ...] = (), **more: Any
) -> Json:
    services = [
        {
            "name": name,
            "condition": condition if name == "inference" else HEALTHY,
            "replicas": [
                replica(f"10.0.{number}.{index}:8500") for index in range(replicas if name == "inference" else 1)
            ],
        }
        for number, name in enumerate(("inference", "preprocess", "registry", "health"))
    ]
    return {"condition": condition, "services": services, "models": list(models), "problems": list(problems), **more}


def usual(console: ScriptedConsole) -> health_pb2.PlatformStatus:
    """One model, a rollout that waits, figures, feedback, an alert: something for every view."""
    answers = console.gateway.answers
    answers["ListModels"] = listed("digits")
    answers["ListRollouts"] = json_format.ParseDict({"rollouts": [rollout()]}, registry_pb2.ListRolloutsResponse())
    answers["ListKpis"] = kpis("digits")
    answers["QueryRange"] = series()
    answers["GetQuality"] = quality()
    answers["ListFeedback"] = feedback()
    answers["GroupComplaints"] = complaints("it calls every husky a wolf")
    answers["GetDrift"] = drift("wolf")
    answers["ListAlerts"] = json_format.ParseDict({"alerts": [alert()]}, alerts_pb2.ListAlertsResponse())
    answers["GetAlert"] = json_format.ParseDict(
        {"alert": alert(), "history": [{"at": stamp(60), "what": "firing", "detail": "told webhook"}]},
        alerts_pb2.GetAlertResponse(),
    )
    answers["ListEvents"] = events("digits is served: version 2 is production")
    answers["ListLogs"] = logs("cannot reach the registry")
    answers["ListTemplates"] = templates("cannot reach <*>")
    return status_of(status(model("digits")))


def listed(*names: str, description: str = "Handwritten digits.") -> registry_pb2.ListModelsResponse:
    def version(name: str, number: int) -> Json:
        aliases = ["production"] if number == 2 else []
        return {
            "model": name,
            "version": str(number),
            "state": "MODEL_VERSION_STATE_READY",
            "description": description,
            "created_at": stamp(90_000),
            "aliases": aliases,
            "size_bytes": "1000000",
        }

    targets = [{"version": "2", "weight": 80}, {"version": "3", "weight": 20}]
    models = [
        {
            "name": name,
            "versions": [version(name, number) for number in (3, 2, 1)],
            "aliases": {"production": "2"},
            "deployment": {"model": name, "routes": [{"alias": "production", "targets": targets}]},
        }
        for name in names
    ]
    return json_format.ParseDict({"models": models}, registry_pb2.ListModelsResponse())


def rollout(state: str = "ROLLOUT_STATE_HELD", reason: str = "Not settled: too few answers.") -> Json:
    gate = {
        "gate": "errors",
        "outcome": "VERDICT_OUTCOME_FINE",
        "sentence": "0.1 % of 900 answers failed: no worse.",
        "numbers": {"answers": 900.0, "failed": 1.0},
    }
    return {
        "id": "7",
        "model": "digits",
        "version": "3",
        "old_version": "2",
        "state": state,
        "reason": reason,
        "step": 0,
        "share": 2000,
        "plan": {"shares": [2000, 5000], "step_s": 600},
        "verdict": {"outcome": "VERDICT_OUTCOME_INCONCLUSIVE", "sentence": reason, "gates": [gate]},
        "started_at": stamp(600),
        "changed_at": stamp(60),
        "actor": "ana@desk",
    }


def kpis(*names: str, rate: float = 12.5) -> metrics_pb2.ListKpisResponse:
    found = metrics_pb2.ListKpisResponse()
    for name, unit in (("rate", "1/s"), ("error_ratio", "ratio"), ("p50", "s"), ("p95", "s"), ("p99", "s")):
        found.kpis.add(
            name=name, scope=metrics_pb2.KPI_SCOPE_MODEL, title=name, unit=unit, expression=f"{name}_of_model"
        )
    for name in names:
        row = found.rows.add(scope=metrics_pb2.KPI_SCOPE_MODEL, labels={"model": name, "version": "2"})
        row.values.add(kpi="rate", value=rate, trend=[1.0, 3.0, 2.0, rate])
        for kpi, value in (("error_ratio", 0.25), ("p50", 0.004), ("p95", 0.009), ("p99", 0.0125)):
            row.values.add(kpi=kpi, value=value)
    return found


def series(label: str = "2") -> metrics_pb2.QueryRangeResponse:
    end_s = int(time.time()) // 20 * 20
    found = metrics_pb2.QueryRangeResponse()
    times = [end_s - 20.0 * (60 - index) for index in range(60)]
    found.series.add(labels={"version": label}, times=times, values=[index % 7 + 1.0 for index in range(60)])
    return found


def quality() -> feedback_pb2.GetQualityResponse:
    version = {
        "version": "2",
        "good": "90",
        "bad": "10",
        "labelled": "100",
        "right": "90",
        "accuracy_low": 0.82,
        "accuracy_high": 0.95,
        "confusions": [{"predicted": "7", "label": "1", "count": "4"}],
        "trend": [{"day": stamp(86_400 * day), "good": "20", "bad": "3"} for day in (2, 1)],
    }
    return json_format.ParseDict({"versions": [version]}, feedback_pb2.GetQualityResponse())


def complaints(text: str) -> feedback_pb2.GroupComplaintsResponse:
    group = {"id": "1", "example": text, "keys": [text], "count": "12", "versions": {"2": "12"}, "last_at": stamp(60)}
    return json_format.ParseDict({"groups": [group]}, feedback_pb2.GroupComplaintsResponse())


def drift(label: str) -> drift_pb2.GetDriftResponse:
    comparison = {
        "what": "label",
        "verdict": "DRIFT_VERDICT_DRIFTED",
        "golden": "2000",
        "latest": "1500",
        "statistics": [{"name": "psi", "value": 0.42, "threshold": 0.1}],
        "shares": [{"name": label, "golden": 0.1, "latest": 0.35}],
    }
    of_input = comparison | {"what": f"{label} brightness", "reference": "DRIFT_REFERENCE_TRAINING"}
    version = {
        "version": "2",
        "verdict": "DRIFT_VERDICT_DRIFTED",
        "comparisons": [comparison],
        "inputs": [of_input],
    }
    return json_format.ParseDict({"versions": [version]}, drift_pb2.GetDriftResponse())


def feedback(text: str = "that is a seven", count: int = 1, predicted: str = "1") -> feedback_pb2.ListFeedbackResponse:
    entries = [
        {
            "feedback": {"prediction_id": f"p{index}", "text": f"{text} {index}", "label": text},
            "submitted_at": stamp(index),
            "state": "FEEDBACK_STATE_JOINED",
            "model": "digits",
            "version": "2",
            "predicted": predicted,
            "score": 0.91,
        }
        for index in range(count)
    ]
    return json_format.ParseDict({"feedback": entries}, feedback_pb2.ListFeedbackResponse())


def alert(**annotations: str) -> Json:
    said = {
        "summary": "digits burns its budget 14 times too fast.",
        "cause": "version 3 fails",
        "runbook": "docs/alerts.md#burn",
        "query": "rate(lepton_requests_total[1m])",
        "trace_id": "a" * 32,
        **annotations,
    }
    return {
        "fingerprint": "0123456789abcdef",
        "state": "ALERT_STATE_FIRING",
        "labels": {"alertname": "BudgetBurn", "severity": "page", "model": "digits"},
        "annotations": said,
        "value": 14.4,
        "began_at": stamp(120),
        "fired_at": stamp(100),
        "judge": "slo",
    }


def events(title: str, count: int = 1) -> events_pb2.ListEventsResponse:
    found = [
        {
            "id": f"e{index}",
            "at": stamp(5 + index),
            "kind": "deploy",
            "title": f"{title} {index}",
            "labels": {"model": "digits"},
        }
        for index in range(count)
    ]
    return json_format.ParseDict({"events": found}, events_pb2.ListEventsResponse())


def logs(message: str, count: int = 1) -> events_pb2.ListLogsResponse:
    record = {"level": "LOG_LEVEL_ERROR", "service": "inference", "instance": "10.0.0.1:8500", "logger": "lepton"}
    records = [
        {
            **record,
            "at": stamp(index),
            "message": f"{message} {index}",
            "trace_id": "a" * 32,
            "fields": {"field": message},
        }
        for index in range(count)
    ]
    return json_format.ParseDict({"records": records}, events_pb2.ListLogsResponse())


def templates(text: str) -> events_pb2.ListTemplatesResponse:
    found = {"id": "1", "service": "inference", "level": "LOG_LEVEL_ERROR", "text": text, "count": "12"}
    return json_format.ParseDict(
        {"templates": [{**found, "first_seen": stamp(900), "last_seen": stamp(3)}]}, events_pb2.ListTemplatesResponse()
    )


def trace_line(
    number: int = 0, operation: str = "lepton.v1.InferenceService/Predict", models: tuple[str, ...] = ("digits@2",)
) -> Json:
    return {
        "trace_id": f"{number:032x}",
        "service": "client",
        "operation": operation,
        "start_us": (time.time() - number) * 1e6,
        "duration_us": 12_000 + 100 * number,
        "spans": 9,
        "errors": number % 5 == 4,
        "services": ["client", "inference"],
        "models": list(models),
    }


def waterfall(operation: str = "lepton.v1.InferenceService/Predict") -> Json:
    def row(depth: int, service: str, children: int) -> Json:
        span = {
            "spanID": f"{depth}" * 16,
            "service": service,
            "operation": operation,
            "kind": "server",
            "startUs": 100 * depth,
            "durationUs": 12_000 - 1000 * depth,
            "error": depth == 2,
            "left": False,
            "tags": [["lepton.model.name", operation]],
            "processTags": [],
            "events": [{"name": operation, "timeUs": 5, "fields": [["message", operation]]}],
            "links": [],
            "warnings": [],
        }
        return {"depth": depth, "children": children, "missingID": "", "failedBelow": 0, "segments": [], "span": span}

    rows = [row(0, "client", 1), row(1, "inference", 1), row(2, "triton", 0)]
    head = {"traceID": "a" * 32, "startUs": time.time() * 1e6, "durationUs": 12_000, "scaleUs": 12_000}
    return {**head, "services": ["client", "inference", "triton"], "errors": 1, "spans": 3, "rows": rows}
