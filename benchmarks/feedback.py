"""Feedback at its bounds: 10 million remembered predictions, 100,000 things said of them, and the time of questions."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.report import Report
from lepton_ai.mesh.prediction_ids import user_hash, version_tag
from lepton_ai.prediction import to_item
from lepton_ai.v1 import feedback_pb2 as pb
from services.health.feedback.desk import FeedbackDesk
from services.health.feedback.examples import Wanted, Which

MODEL = "reviews"
PREDICTIONS, SAID, INPUTS = 10_000_000, 100_000, 20_000
_DAYS = 7
_BATCH = 10_000
_SOURCES = 200
_LABELS = [f"class {number}" for number in range(10)]
_SENTENCE = "slow wrong label photo upload crash login price 太慢 错误 照片 上传 闪退 登录 again today never always"
_WORDS = _SENTENCE.split()
_INPUT = "这是一条测试评论，内容大约一千个字节。" * 18


async def measure(directory: Path) -> list[Report]:
    """One table; its rows are the questions."""
    chance = random.Random(5)
    desk = FeedbackDesk(directory, max_bytes=2 << 30, keep_s=1e9, per_minute=600, max_input_bytes=1 << 30)
    began = time.process_time()
    ids = await _remember(desk, chance)
    remember_us = (time.process_time() - began) / PREDICTIONS * 1e6
    began = time.process_time()
    await _say(desk, ids, chance)
    say_us = (time.process_time() - began) / SAID * 1e6
    await _keep(desk, ids)
    began = time.process_time()
    await desk.tidy()
    tidy_us = (time.process_time() - began) / PREDICTIONS * 1e6
    rows = [[what, *(await _timed(question(desk, ids)))] for what, question in _QUESTIONS.items()]
    size_mib = sum(path.stat().st_size for path in (directory / "predictions").iterdir()) / (1 << 20)
    await desk.close()
    title = f"{PREDICTIONS:,} remembered predictions, {SAID:,} things said, {INPUTS:,} kept inputs"
    note = (
        f"Wall and CPU time of one call, the first and the median of five; the goal is 1 s. To remember costs "
        f"{remember_us:.1f} µs of CPU a prediction, to take what is said {say_us:.0f} µs; to write "
        f"down for whom they were, once for each file, {tidy_us:.1f} µs a prediction. Predictions take "
        f"{size_mib:.0f} MiB, {size_mib * (1 << 20) / PREDICTIONS:.0f} bytes each."
    )
    return [Report(title, ["question", "first, ms", "then, ms", "CPU, ms"], rows, note=note)]


async def _remember(desk: FeedbackDesk, chance: random.Random) -> list[str]:
    """Returns some of the ids."""
    first_ms = int((time.time() - _DAYS * 86_400) * 1000)
    step_ms = _DAYS * 86_400_000 / PREDICTIONS
    users = [user_hash(f"user {number}") for number in range(1000)]
    kept: list[str] = []
    for start in range(0, PREDICTIONS, _BATCH):
        version = 1 if start < PREDICTIONS // 2 else 2
        tag = version_tag(MODEL, version)
        ids = [
            f"{int(first_ms + row * step_ms):012x}{tag}{chance.getrandbits(60):015x}"
            for row in range(start, start + _BATCH)
        ]
        batch = pb.RememberedPredictions(
            model=MODEL,
            version=version,
            ids=bytes.fromhex("".join(ids)),
            items=[0] * _BATCH,
            names=_LABELS,
            labels=[1 + row % len(_LABELS) for row in range(_BATCH)],
            values=[0.3 + 0.7 * (row % 100) / 100 for row in range(_BATCH)],
            durations_us=[1500] * _BATCH,
            users=b"".join(users[row % len(users)] for row in range(_BATCH)),
        )
        await desk.remember([batch])
        kept += chance.sample(ids, SAID * _BATCH // PREDICTIONS)
    return kept


async def _say(desk: FeedbackDesk, ids: list[str], chance: random.Random) -> None:
    for start in range(0, len(ids), _BATCH // 10):
        said = [_feedback(made, chance) for made in ids[start : start + _BATCH // 10]]
        source = f"ipv4:10.0.0.{chance.randrange(_SOURCES)}"
        await desk.submit(said, source=source, trusted=True)


def _feedback(made: str, chance: random.Random) -> pb.Feedback:
    feedback = pb.Feedback(prediction_id=made, user=f"user {chance.randrange(1000)}")
    point = chance.random()
    if point < 0.7:
        feedback.label = chance.choice(_LABELS)
    elif point < 0.8:
        feedback.thumb_up = chance.random() < 0.7
    elif point < 0.85:
        feedback.rating = chance.randint(1, 5)
    else:
        feedback.text = " ".join(chance.sample(_WORDS, 6))
    return feedback


async def _keep(desk: FeedbackDesk, ids: list[str]) -> None:
    for start in range(0, INPUTS, 1000):
        inputs = [
            pb.KeptInput(
                prediction_id=made,
                kept_for=pb.KEPT_FOR_SAMPLE,
                predicted=_LABELS[0],
                score=0.5,
                item=to_item(f"{made} {_INPUT}"),
            )
            for made in ids[len(ids) - INPUTS :][start : start + 1000]
        ]
        await desk.keep([pb.KeptInputs(model=MODEL, version=2, input_kinds={"": "text"}, keep_s=1e7, inputs=inputs)])


async def _first_page(desk: FeedbackDesk, which: Which) -> None:
    async for _ in desk.select(Wanted(MODEL, which=which)):
        return


async def _all_pages(desk: FeedbackDesk) -> None:
    async for _ in desk.select(Wanted(MODEL)):
        pass


Question = Callable[[FeedbackDesk, list[str]], Callable[[], Awaitable[object]]]
_QUESTIONS: dict[str, Question] = {
    "quality of all versions": lambda desk, _: lambda: desk.quality(MODEL, since=0.0),
    "quality of the last day": lambda desk, _: lambda: desk.quality(MODEL, since=time.time() - 86_400),
    "good and bad, for a rollout": lambda desk, _: lambda: desk.tallies(MODEL, since=0.0),
    "list, the last 50": lambda desk, _: lambda: desk.find(MODEL, 0, only_bad=False, only_texts=False, limit=50),
    "list, the last 50 bad": lambda desk, _: lambda: desk.find(MODEL, 0, only_bad=True, only_texts=False, limit=50),
    "list, 50 of a model without any": lambda desk, _: (
        lambda: desk.find("other", 0, only_bad=True, only_texts=False, limit=50)
    ),
    "export, a page with labels": lambda desk, _: lambda: _first_page(desk, Which.CORRECTED),
    "export, a page of all": lambda desk, _: lambda: _first_page(desk, Which.ALL),
    f"export, all {INPUTS:,}": lambda desk, _: lambda: _all_pages(desk),
    "complaints": lambda desk, _: lambda: desk.complaints(MODEL, 0, since=0.0),
    "say one more thing": lambda desk, ids: (
        lambda: desk.submit([pb.Feedback(prediction_id=ids[7], thumb_up=False)], source="here", trusted=True)
    ),
    "forget who is not there": lambda desk, _: lambda: desk.forget_user(secrets.token_hex(4)),
    "forget who is in every file": lambda desk, _: lambda: desk.forget_user(f"user {secrets.randbelow(1000)}"),
}


async def _timed(ask: Callable[[], Awaitable[object]]) -> list[str]:
    walls, cpus = [], []
    for _ in range(5):
        wall, cpu = time.perf_counter(), time.process_time()
        await ask()
        walls.append(1000 * (time.perf_counter() - wall))
        cpus.append(1000 * (time.process_time() - cpu))
    return [f"{walls[0]:,.1f}", f"{sorted(walls)[2]:,.1f}", f"{sorted(cpus)[2]:,.1f}"]
