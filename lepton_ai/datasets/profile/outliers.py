"""Check: numbers, pictures, texts and sounds that are far from all others of their column."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from lepton_ai.datasets.profile.finding import Finding, listed, of_rows, percent
from lepton_ai.datasets.profile.media import Clip, Picture
from lepton_ai.datasets.profile.survey import Survey
from lepton_ai.datasets.times import Floats

Z = 6.0
"""Robust standard deviations from the median beyond which a value is an outlier."""
_LOG_Z = 5.0
_MAD_TO_SIGMA = 1.4826
_FEWEST_ROWS = 20
_RARE = 0.01
_BLANK_CONTRAST = 0.004
_SILENCE = 1e-4


def check(survey: Survey) -> Iterator[Finding]:
    """Values by themselves; sizes and brightness of pictures, lengths of texts and sounds."""
    for name, values in survey.sample.numbers.items():
        if survey.schema[name].kind == "number" and survey.schema[name].role in ("input", "target"):
            yield from _outliers(survey, name, "", values)
    for name, measured in measures(survey):
        for what, values in measured.items():
            yield from _outliers(survey, name, what, values)
    yield from _empty(survey)


def limits(values: Floats, *, z: float = Z) -> tuple[float, float] | None:
    """The lowest and highest value that are no outliers; None where a spread cannot be told.

    Each side has its own median absolute deviation, so that a skewed column is not full of outliers (P. Rosenmai's
    double MAD). What is far away but not so on a logarithmic scale, as in incomes, is none either.
    """
    present = values[np.isfinite(values)]
    if len(present) < _FEWEST_ROWS:
        return None
    middle = float(np.median(present))
    low, high = _spread(middle - present[present <= middle]), _spread(present[present >= middle] - middle)
    low, high = low or high, high or low
    if not low:
        return None
    bottom, top = middle - z * low, middle + z * high
    if np.quantile(present, 0.01) >= 0:
        shift = 0.0 if present.min() > 0 else high
        logs = np.log(present.clip(0) + shift)
        centre = float(np.median(logs))
        reach = centre + _LOG_Z * z / Z * _spread(logs[logs >= centre] - centre)
        top = max(top, float(np.exp(min(reach, 700.0))) - shift)
    return max(bottom, float(present.min())), min(top, float(present.max()))


def measures(survey: Survey) -> Iterator[tuple[str, dict[str, Floats]]]:
    """What is measured of pictures, texts and sounds, by column; NaN where there is nothing to measure."""
    for name, pictures in survey.sample.pictures.items():
        shown = [cell if isinstance(cell, Picture) else None for cell in pictures]
        yield (
            name,
            {
                "width": _floats([None if each is None else each.width for each in shown]),
                "height": _floats([None if each is None else each.height for each in shown]),
                "brightness": _floats([None if each is None else each.brightness for each in shown]),
            },
        )
    for name, lengths in survey.sample.lengths.items():
        yield name, {"length": lengths}
    for name, clips in survey.sample.clips.items():
        heard = [cell if isinstance(cell, Clip) else None for cell in clips]
        yield name, {"duration": _floats([None if each is None else each.seconds for each in heard])}


def _floats(values: list[float | None]) -> Floats:
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)


def _spread(distances: Floats) -> float:
    return _MAD_TO_SIGMA * float(np.median(distances)) if len(distances) else 0.0


def _outliers(survey: Survey, name: str, what: str, values: Floats) -> Iterator[Finding]:
    found = limits(values) or _common_value(values)
    if found is None:
        return
    bottom, top = found
    infinite = np.isinf(values)
    outside = np.flatnonzero((values < bottom) | (values > top) | infinite)
    if not len(outside) or (len(outside) > _RARE * len(values) + 1 and not infinite.any()):
        return  # many far values are a second group or a long tail, not mistakes
    distance = np.maximum(bottom - values[outside], values[outside] - top)
    worst = outside[np.argsort(-distance, kind="stable")]
    subject = f"{what} of " if what else ""
    rows = listed(survey.sample.rows[worst])
    yield Finding(
        "outlier",
        "medium" if infinite.any() else "low",
        f"{subject}{of_rows(len(outside))} ({percent(len(outside), len(values))}) far from the rest, "
        f"such as {_plain(values[worst[0]])}; usual is {_plain(bottom)}"
        + (f" to {_plain(top)}" if top > bottom else ""),
        "Check whether they are mistakes; " + ("look at the files." if what else "clean(clip_outliers=True) clips."),
        name,
        len(outside),
        rows,
        {"measure": what or "value", "low": bottom, "high": top, "values": _json_numbers(values[worst[: len(rows)]])},
    )


def _common_value(values: Floats) -> tuple[float, float] | None:
    """Where nearly all values are one, as sizes of pictures are, every other one is an outlier."""
    present = values[np.isfinite(values)]
    if len(present) < _FEWEST_ROWS:
        return None
    middle = float(np.median(present))
    rest = int((present != middle).sum())
    return (middle, middle) if 0 < rest <= max(1, _RARE / 10 * len(present)) else None


def _empty(survey: Survey) -> Iterator[Finding]:
    for name, pictures in survey.sample.pictures.items():
        blank = [isinstance(cell, Picture) and cell.contrast < _BLANK_CONTRAST for cell in pictures]
        yield from _nothing_on_it(survey, name, np.array(blank, dtype=bool), "a picture of a single colour")
    for name, clips in survey.sample.clips.items():
        silent = [isinstance(cell, Clip) and cell.loudness < _SILENCE for cell in clips]
        yield from _nothing_on_it(survey, name, np.array(silent, dtype=bool), "a sound that is silent")


def _nothing_on_it(survey: Survey, name: str, empty: npt.NDArray[np.bool_], what: str) -> Iterator[Finding]:
    if empty.any():
        rows = survey.sample.rows[empty]
        advice = "Nothing can be learnt from them: leave them out."
        message = f"{of_rows(len(rows))} with {what}"
        yield Finding("outlier", "medium", message, advice, name, len(rows), listed(rows), {"measure": "empty"})


def _plain(value: float) -> str:
    """As people write numbers: 12.35, and 99,999 rather than 1e+05."""
    return f"{value:,.0f}" if 10_000 <= abs(value) < 1e15 else f"{value:.4g}"


def _json_numbers(values: Floats) -> list[float | str]:
    return [float(value) if np.isfinite(value) else str(value) for value in values]
