"""The leaks suite: what counts as growth, and a mixture that makes as many requests as it is asked to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from benchmarks.leaks.growth import Reading, growth_mb, leaks
from benchmarks.leaks.mixture import Kind, Mixture
from benchmarks.leaks.tables import leaky_parts, report

_EVERY = 1000
_REQUESTS = 300_000


def readings(rss_mb: Callable[[int], float]) -> list[Reading]:
    return [Reading(made, rss_mb(made)) for made in range(0, _REQUESTS, _EVERY)]


def noise() -> Callable[[], float]:
    dice = random.Random(5)
    return lambda: dice.gauss(0, 0.5)


def test_a_kilobyte_a_request_is_a_leak() -> None:
    jitter = noise()
    seen = readings(lambda made: 90 + made * 1024 / 1e6 + jitter())
    assert growth_mb(seen) == pytest.approx(102.4, rel=0.02)
    assert leaks(seen)


def test_twenty_bytes_a_request_are_a_leak_too() -> None:
    jitter = noise()
    assert leaks(readings(lambda made: 90 + made * 20 / 1e6 + jitter()))


def test_a_process_that_fills_its_caches_at_first_does_not_leak() -> None:
    jitter = noise()
    assert not leaks(readings(lambda made: 90 + 60 * min(1.0, made / 100_000) + jitter()))


def test_one_buffer_that_was_allocated_late_is_no_leak() -> None:
    jitter = noise()
    assert not leaks(readings(lambda made: 90 + 8 * (made > 290_000) + jitter()))


def test_a_leak_is_found_behind_collections_that_free_a_lot_now_and_then() -> None:
    jitter = noise()
    assert leaks(readings(lambda made: 90 + made * 30 / 1e6 + 20 * (made % 50_000 < 5_000) + jitter()))


def test_what_was_seen_too_seldom_is_not_judged() -> None:
    with pytest.raises(ValueError, match="Too few"):
        growth_mb([Reading(0, 1.0), Reading(10, 1.0)])


def test_services_are_judged_and_others_are_shown() -> None:
    grown, flat = readings(lambda made: 90 + made / 1e3), readings(lambda _: 90)
    table = report({"etcd": grown, "inference": grown, "preprocess-2": flat}, {"rows": _REQUESTS}, took_s=60)
    assert [(row[0], row[-1]) for row in table.rows] == [
        ("inference", "leaks"),
        ("preprocess-2", "flat"),
        ("etcd", "–"),
    ]


def test_only_the_inference_service_gets_the_planted_leak() -> None:
    assert [part.name for part in leaky_parts() if part.command.__name__ == "_leaky_command"] == ["inference"]


async def test_a_mixture_makes_its_requests_by_their_shares_and_ends_with_the_first_failure() -> None:
    async def answer() -> None:
        await asyncio.sleep(0)

    mixture = Mixture({"often": Kind(9, 1, answer), "seldom": Kind(1, 10, answer)})
    await mixture.run(2000, callers=4)
    assert 2000 <= mixture.requests < 2040
    assert 600 < mixture.made["often"] < 1400

    async def fail() -> None:
        raise RuntimeError("broken")

    with pytest.raises(ExceptionGroup, match="unhandled"):
        await Mixture({"broken": Kind(1, 1, fail)}).run(10, callers=2)
