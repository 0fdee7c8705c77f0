"""The bare loop: the same photos, the same preprocessing, the same model, and nothing else; one process a core."""

from __future__ import annotations

import io
import multiprocessing as mp
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def classify(session: Any, photo: bytes) -> list[tuple[int, float]]:
    """What the platform does for one photo, written straight: the five best classes with their probabilities."""
    from PIL import Image

    image = Image.open(io.BytesIO(photo)).convert("RGB").resize((256, 256), Image.Resampling.BICUBIC)
    logits = session.run(None, {"image": np.asarray(image.crop((16, 16, 240, 240)))[None]})[0][0]
    exponents = np.exp(logits - logits.max())
    probabilities = exponents / exponents.sum()
    best = np.argsort(probabilities)[-5:][::-1]
    return [(int(index), float(probabilities[index])) for index in best]


def open_session(model: Path) -> Any:
    """ONNX Runtime on one thread."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(str(model), options)


def photos_per_s(model: Path, photos: Sequence[bytes], *, processes: int, seconds: float) -> float:
    """Photos a second of `processes` loops side by side."""
    context = mp.get_context("spawn")  # a forked process would inherit gRPC's threads
    barrier = context.Barrier(processes)
    results = context.Queue()
    arguments = (model, list(photos), seconds, barrier, results)
    loops = [context.Process(target=_loop, args=arguments) for _ in range(processes)]
    for loop in loops:
        loop.start()
    total = sum(results.get(timeout=seconds + 60) for _ in loops)
    for loop in loops:
        loop.join(timeout=10)
    return float(total)


def _loop(model: Path, photos: list[bytes], seconds: float, barrier: Any, results: Any) -> None:
    session = open_session(model)
    for photo in photos[:5]:
        classify(session, photo)
    barrier.wait(timeout=60)
    begin_s, count = time.perf_counter(), 0
    while time.perf_counter() - begin_s < seconds:
        classify(session, photos[count % len(photos)])
        count += 1
    results.put(count / (time.perf_counter() - begin_s))


def latency_ms(model: Path, photos: Sequence[bytes], *, seconds: float) -> float:
    """Median time of one photo on one thread, in milliseconds."""
    session = open_session(model)
    times: list[float] = []
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        begin_s = time.perf_counter()
        classify(session, photos[len(times) % len(photos)])
        times.append(time.perf_counter() - begin_s)
    return float(np.median(times) * 1e3)
