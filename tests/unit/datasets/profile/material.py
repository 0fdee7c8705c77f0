"""Small data sets without faults, to which each test adds one."""

from __future__ import annotations

import io
import wave

import numpy as np
import numpy.typing as npt

from lepton_ai.datasets import Column, Dataset, Schema, from_arrays, from_rows
from lepton_ai.datasets.profile import Finding, profile
from lepton_ai.datasets.ready.pictures import png

Floats = npt.NDArray[np.float64]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def table(rows: int = 200, **changed: object) -> Dataset:
    """Heights and weights of two kinds of animals, which overlap a lot."""
    random = rng()
    kinds = np.arange(rows) % 2
    columns: dict[str, object] = {
        "身高": random.normal(50, 5, rows) + 4 * kinds,
        "weight": random.normal(10, 2, rows) + 1 * kinds,
        "颜色": [["红", "绿", "蓝"][n] for n in random.integers(0, 3, rows)],
        "label": [["猫", "狗"][kind] for kind in kinds],
    }
    return from_arrays({**columns, **changed})


_WORDS = "今天天气很好我们一起去公园散步吃饭看书喝茶听音乐写字画画跑步游泳唱歌跳舞做饭买菜回家睡觉起床上班开会学习" * 2


def sentence(seed: int, length: int = 24) -> str:
    return "".join(rng(seed).choice(list(_WORDS), length))


def texts(count: int = 60) -> list[str]:
    return [sentence(seed, 10 + 7 * seed % 41) for seed in range(count)]


def text_data(values: list[str | None]) -> Dataset:
    schema = Schema((Column("评论", "text"), Column("n", "number", "ignore")))
    return from_rows([{"评论": value, "n": at} for at, value in enumerate(values)], schema)


def picture(seed: int, *, side: int = 32, brightness: int = 0) -> npt.NDArray[np.uint8]:
    """Smooth blobs: what resizing leaves alone."""
    coarse = rng(seed).integers(40, 200, (5, 5, 3))
    at = np.linspace(0, 3.999, side)
    low, part = at.astype(int), (at % 1)[:, None, None]
    rows = coarse[low] * (1 - part) + coarse[low + 1] * part
    across = (at % 1)[None, :, None]
    return np.asarray(rows[:, low] * (1 - across) + rows[:, low + 1] * across + brightness).astype(np.uint8)


def image_data(files: list[bytes | None], labels: list[str] | None = None) -> Dataset:
    columns = [Column("照片", "image")] + ([Column("label", "category", "target")] if labels else [])
    rows = [{"照片": file, **({"label": labels[at]} if labels else {})} for at, file in enumerate(files)]
    return from_rows(rows, Schema(tuple(columns)))


def pictures(count: int = 40) -> list[bytes | None]:
    return [png(picture(seed)) for seed in range(count)]


def tone(seed: int, seconds: float = 0.2) -> bytes:
    rate_hz = 8000
    times = np.arange(int(seconds * rate_hz)) / rate_hz
    samples = 0.4 * np.sin(2 * np.pi * (200 + 10 * seed) * times) + rng(seed).normal(0, 0.02, len(times))
    return wav(samples, rate_hz)


def wav(samples: Floats, rate_hz: int = 8000) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return out.getvalue()


def sound_data(files: list[bytes]) -> Dataset:
    return from_rows([{"clip": file} for file in files], Schema((Column("clip", "sound"),)))


def found(data: Dataset, check: str, **options: Dataset | int) -> list[Finding]:
    """The findings of one check."""
    return [finding for finding in profile(data, **options) if finding.check == check]  # type: ignore[arg-type]


def only(data: Dataset, check: str, **options: Dataset | int) -> Finding:
    """The one finding that there is, of this check."""
    (finding,) = profile(data, **options).findings  # type: ignore[arg-type]
    assert finding.check == check
    return finding
