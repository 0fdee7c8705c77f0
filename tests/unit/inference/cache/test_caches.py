"""Caches switch themselves off and on, get their memory by what it saves, and say what they do."""

from __future__ import annotations

import random
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest

from lepton_ai.package import Caching
from lepton_ai.v1 import inference_pb2
from services.inference.cache.caches import Caches
from services.inference.cache.curve import SAMPLE
from services.inference.cache.entries import Entry, EntryCodec
from services.inference.cache.keys import answers_seed
from services.inference.cache.layer import _overhear
from services.inference.cache.partition import Partition
from services.inference.cache.status import CacheCollector, write_status
from services.inference.cache.units import TensorRows
from services.inference.routing.routes import ModelRoutes
from services.inference.rows import NamedTensor, Rows
from services.inference.version import LoadedVersion
from tests.unit.inference.colours import colours_version

MIB = 1 << 20


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Served:
    """Caches of some versions, with a budget and a clock of the test's."""

    def __init__(self, *versions: LoadedVersion, max_bytes: int = 64 * MIB) -> None:
        self.clock = Clock()
        self.budget = max_bytes
        self.caches = Caches(max_bytes=max_bytes, budget=lambda *_: self.budget, clock=self.clock)
        self.caches.follow({each.model: ModelRoutes(each.model, {each.version: each}, {}) for each in versions})

    def answers(self, loaded: LoadedVersion) -> Partition[Entry]:
        kept = self.caches.kept(loaded)
        assert kept is not None
        assert kept.answers is not None
        return kept.answers

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.clock.now_s += 2.0
            self.caches.step()


def version(model: str = "colours") -> LoadedVersion:
    loaded = colours_version(caching=Caching(answers=True))
    loaded.model = model
    return loaded


def row(number: int, size_bytes: int = 64) -> Rows:
    content = random.Random(number).randbytes(64) + bytes(size_bytes - 64)
    return Rows(1, (NamedTensor("x", "UINT8", (1, size_bytes), content),))


def ask(answers: Partition[Entry], inputs: Iterable[int], *, size_bytes: int = 64, work_s: float = 0.01) -> int:
    """What calls do; gives how many were found."""
    seed = answers.seed("")
    assert seed is not None
    hits = 0
    for number in inputs:
        units = TensorRows(row(number, 64), "tensors")
        if not answers.on:
            _overhear(answers, seed, units)
            continue
        (key,) = units.keys(seed)
        if answers.find(key) is not None:
            hits += 1
        else:
            answers.keep(key, Entry(row(number, size_bytes)), epoch=answers.epoch, work_s=work_s)
    return hits


def test_inputs_that_do_not_repeat_switch_it_off_and_it_lets_its_memory_go() -> None:
    loaded = version()
    served = Served(loaded)
    answers = served.answers(loaded)
    ask(answers, range(300 * SAMPLE))
    assert answers.size_bytes > 0
    served.step()
    assert not answers.on
    assert "do not repeat" in answers.reason
    assert answers.size_bytes == 0


def test_inputs_that_begin_to_repeat_switch_it_on_again() -> None:
    loaded = version()
    served = Served(loaded)
    answers = served.answers(loaded)
    ask(answers, range(300 * SAMPLE))
    served.step()
    for _ in range(12):
        ask(answers, range(50_000, 50_000 + 100 * SAMPLE))
        served.step()
    assert answers.on
    assert ask(answers, [*range(50_000, 50_100), *range(50_000, 50_100)]) >= 100


def test_while_it_is_off_few_inputs_have_keys_made_of_them() -> None:
    loaded = version()
    served = Served(loaded)
    answers = served.answers(loaded)
    ask(answers, range(300 * SAMPLE))
    served.step()
    before = answers.curve.samples
    ask(answers, range(100_000, 100_000 + 100 * SAMPLE))
    assert 50 < answers.curve.samples - before < 150


def test_a_model_that_is_faster_than_a_lookup_is_not_worth_one() -> None:
    loaded = version()
    served = Served(loaded)
    answers = served.answers(loaded)
    ask(answers, [number for number in range(3000) for _ in range(2)], work_s=10e-6)
    answers.lookup_s = 20e-6
    served.step()
    assert not answers.on


def test_a_cache_grows_while_that_finds_more_and_not_further() -> None:
    loaded = version()
    served = Served(loaded)
    answers = served.answers(loaded)
    inputs = random.Random(2)
    for _ in range(6):  # 1,500 inputs of 12 KiB are 18 MiB
        ask(answers, (inputs.randrange(1500) for _ in range(3000)), size_bytes=12_000)
        served.step()
    assert answers.capacity_bytes == 32 * MIB
    assert answers.curve.hit_ratio(32 * MIB) > 0.8
    hits = ask(answers, (inputs.randrange(1500) for _ in range(3000)), size_bytes=12_000)
    assert hits > 2700


def test_a_machine_that_is_short_of_memory_takes_it_back_at_once() -> None:
    loaded = version()
    served = Served(loaded)
    answers = served.answers(loaded)
    inputs = random.Random(2)
    for _ in range(6):
        ask(answers, (inputs.randrange(1500) for _ in range(3000)), size_bytes=12_000)
        served.step()
    served.budget = 4 * MIB
    served.step(2)
    assert answers.capacity_bytes <= 4 * MIB
    assert answers.size_bytes <= 4 * MIB
    served.budget = 0
    served.step(2)
    assert answers.size_bytes == 0


def test_all_caches_together_stay_within_their_bound() -> None:
    versions = [version(f"model-{number}") for number in range(12)]
    served = Served(*versions, max_bytes=16 * MIB)
    inputs = random.Random(2)
    for _ in range(3):
        for loaded in versions:
            ask(served.answers(loaded), (inputs.randrange(1000) for _ in range(500)), size_bytes=12_000)
        served.step()
    assert sum(each.capacity_bytes for each in served.caches.partitions()) <= 16 * MIB
    assert sum(each.size_bytes for each in served.caches.partitions()) <= 16 * MIB


def test_what_hits_saved_is_counted_by_the_work_and_not_the_waiting() -> None:
    loaded = version()
    served = Served(loaded)
    answers = served.answers(loaded)
    for work_s in (0.5, 0.01, 0.3, 0.01, 0.4, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01):
        ask(answers, [random.randrange(1 << 40)], work_s=work_s)
    ask(answers, [1, 1], work_s=0.01)
    assert 0.005 < answers.counts.saved_s < 0.06


def test_a_replica_tells_of_its_caches() -> None:
    loaded = version()
    served = Served(loaded)
    ask(served.answers(loaded), [1, 2, 1])
    status = write_status(served.caches)
    (told,) = status.caches
    assert (told.model_name, told.model_version, told.kind, told.on) == ("colours", 1, "answers", True)
    assert (told.lookups, told.local_hits, told.entries) == (3, 1, 2)
    assert 0 < told.bytes <= told.capacity_bytes <= status.max_bytes
    assert status.shared == inference_pb2.SHARED_CACHE_STATE_NONE
    assert not write_status(served.caches, "other").caches


def test_prometheus_is_told_by_model_and_version() -> None:
    loaded = version()
    served = Served(loaded)
    ask(served.answers(loaded), [1, 2, 1])
    registry = CollectorRegistry()
    CacheCollector(registry, served.caches.partitions)
    text = generate_latest(registry).decode()
    labels = '{kind="answers",model="colours",version="1"}'
    assert f"lepton_cache_lookups_total{labels} 3.0" in text
    assert f"lepton_cache_local_hits_total{labels} 1.0" in text
    assert f"lepton_cache_on{labels} 1.0" in text
    assert "lepton_cache_bytes{" in text


def test_an_entry_survives_the_wire_to_the_bit() -> None:
    codec = EntryCodec()
    tensors = (
        NamedTensor("a", "FP32", (1, 3), random.Random(1).randbytes(12)),
        NamedTensor("b", "BYTES", (1,), b"\x03\x00\x00\x00abc"),
    )
    again = codec.decode(codec.encode(Entry(Rows(1, tensors))))
    assert again.rows == Rows(1, tensors)
    assert codec.size_bytes(again) > 12


def test_versions_of_other_packages_share_nothing() -> None:
    one, other = colours_version(digest="a"), colours_version(digest="b")
    assert answers_seed(one) != answers_seed(other)
