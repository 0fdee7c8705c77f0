"""What the judge of metrics reads: a share of a few calls says nothing."""

from __future__ import annotations

import numpy as np
import pytest

from services.health.detect.anomalies.sampling import Subject, read_samples
from services.health.detect.anomalies.watched import WATCHED
from services.health.metrics.kpis import MODEL, SERVICE
from services.health.metrics.series import NAME, Series
from tests.promql.series import MemoryReader

MODEL_ERRORS, SERVICE_ERRORS = (
    next(each for each in WATCHED if (each.scope, each.name) == (scope, "error_ratio")) for scope in (MODEL, SERVICE)
)


def counted(metric: str, per_minute: float, **labels: str) -> Series:
    times = np.arange(1000.0, 1400.0, 5.0)
    return Series({NAME: metric, **labels}, times, (times - times[0]) * per_minute / 60)


async def share(fine: float, failed: float) -> dict[Subject, float]:
    """The last share of errors of a version and of a service that have so many calls a minute."""
    model, service = {"model": "m", "version": "1"}, {"service": "registry", "method": "GetVersion"}
    series = [
        counted(metric, count, code=code, **labels)
        for metric, labels in (("lepton_requests_total", model), ("lepton_rpc_server_seconds_count", service))
        for code, count in (("OK", fine), ("INTERNAL", failed))
    ]
    samples = await read_samples(MemoryReader(series), 1300.0, 1350.0)
    return {
        subject: list(samples.of(what, subject))[-1][1]
        for what, subject in samples.numbers
        if what in (MODEL_ERRORS, SERVICE_ERRORS)
    }


async def test_a_share_of_errors_counts_from_ten_failed_calls_a_minute_on_of_versions_and_of_services() -> None:
    assert await share(fine=12, failed=6) == {("m", "1"): 0.0, ("registry",): 0.0}
    assert await share(fine=24, failed=12) == {
        ("m", "1"): pytest.approx(1 / 3),
        ("registry",): pytest.approx(1 / 3),
    }
