"""Writes pictures with what was found in them to files: `lepton predict --draw`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lepton_ai.errors import InvalidInput

if TYPE_CHECKING:
    from lepton_ai.outputs import Outputs

_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


def save_drawn(target: Path, pictures: Sequence[Path], predictions: Sequence[Outputs]) -> list[Path]:
    """Draw into a copy of each picture what was found in it; returns the files written.

    `target` is the file to write for a single picture; for several a folder, where each gets its own name. A picture
    whose prediction failed is left out. Raises InvalidInput for a target that is neither, FailedPrecondition for
    answers that cannot be drawn.
    """
    _check_target(target, len(pictures))
    written = []
    places = iter([target]) if len(pictures) == 1 else _places(target, pictures)
    for picture, prediction, place in zip(pictures, predictions, places, strict=False):  # texts have no picture
        if prediction.error is None:
            drawn = prediction.draw(picture)
            place.parent.mkdir(parents=True, exist_ok=True)
            drawn.save(place)
            written.append(place)
    return written


def _check_target(target: Path, count: int) -> None:
    names_a_picture = target.suffix.lower() in _ENDINGS
    if count == 0:
        raise InvalidInput.of_field("draw", "needs a picture that is sent as a file")
    if count == 1 and not names_a_picture:
        raise InvalidInput.of_field("draw", f"names no picture file: {target.name}", fix=f"End it with {_ENDINGS[0]}.")
    if count > 1 and names_a_picture:
        raise InvalidInput.of_field("draw", "names one file for several pictures", fix="Name a folder.")


def _places(folder: Path, pictures: Sequence[Path]) -> Iterator[Path]:
    """A name for each, those of pictures from several folders too."""
    taken: set[str] = set()
    for picture in pictures:
        name, number = picture.stem, 1
        while name in taken:
            number += 1
            name = f"{picture.stem}-{number}"
        taken.add(name)
        yield folder / f"{name}.jpg"
