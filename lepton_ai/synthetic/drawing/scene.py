"""One whole picture: a background with things in it, the animal, what hides a part of it, light, blur and noise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from lepton_ai.datasets.ready.photo_folders import Animal
from lepton_ai.synthetic.drawing.bodies import draw_animal
from lepton_ai.synthetic.drawing.canvas import Canvas, Colour
from lepton_ai.synthetic.drawing.look import Look, choose_look

Pixels = npt.NDArray[np.uint8]

_SMOOTHING = 2
"""Everything is drawn this much larger and then reduced, which smooths the edges."""


def draw_picture(animal: Animal, size: int, random: np.random.Generator) -> Pixels:
    """A picture of size×size pixels, red, green and blue. All but the animal's shape is chosen alike for both."""
    large = size * _SMOOTHING
    look = choose_look(random)
    image = _background(large, random)
    canvas = Canvas.over(image)
    for _ in range(int(random.integers(0, 4))):
        _thing(canvas, large, random)
    _place(canvas, animal, look, large, random)
    if random.random() < 0.45:
        _hide_a_part(canvas, large, random)
    image = image.reduce(_SMOOTHING)
    if random.random() < 0.3:
        image = image.filter(ImageFilter.BoxBlur(float(random.uniform(0.3, 0.9)) * size / 128))
    return _light_and_noise(np.asarray(image), random)


def _place(canvas: Canvas, animal: Animal, look: Look, large: int, random: np.random.Generator) -> None:
    share = random.uniform(0.2, 0.36) if look.pose == "face" else random.uniform(0.24, 0.36)
    reach = 1.05 if look.pose in ("face", "sitting") else 1.3  # with the head, which must not be cut off
    room = max(0.0, 0.51 - reach * share)
    x, y = 0.5 + random.uniform(-room, room, 2)
    degrees = float(np.clip(random.normal(0, 8), -20, 20))
    mirrored = bool(random.random() < 0.5)
    stage = canvas.placed(x * large, y * large, scale=share * large, degrees=degrees, mirrored=mirrored)
    if look.pose != "face":
        shadow = tuple(int(0.5 * value) for value in look.dark)
        stage.ellipse(0, 0.97 if look.pose != "lying" else 0.45, 0.95, 0.07, (shadow[0], shadow[1], shadow[2]))
    draw_animal(stage, animal, look)


def _background(large: int, random: np.random.Generator) -> Image.Image:
    """A wall or sky that gets lighter to one side, mostly with a floor, sometimes with stripes."""
    upper, lower = _any_colour(random), _any_colour(random)
    ramp = np.linspace(0, random.uniform(0.1, 0.7), large)[:, None]
    shades = (np.array(upper) + (np.array(lower) - np.array(upper)) * ramp).astype(np.uint8)
    across = shades[None] if random.random() < 0.5 else shades[:, None]
    image = Image.fromarray(np.ascontiguousarray(np.broadcast_to(across, (large, large, 3))))
    canvas = Canvas.over(image)
    if random.random() < 0.3:
        _stripes(canvas, large, random)
    if random.random() < 0.7:
        horizon = large * random.uniform(0.45, 0.85)
        slope = large * random.uniform(-0.08, 0.08)
        canvas.polygon([(0, horizon), (large, horizon + slope), (large, large), (0, large)], _any_colour(random))
    return image


def _stripes(canvas: Canvas, large: int, random: np.random.Generator) -> None:
    colour, count = _any_colour(random), int(random.integers(3, 9))
    lean = large * random.uniform(-0.3, 0.3)
    for number in range(count):
        x = (number + 0.3) * large / count
        canvas.polygon(
            [(x, 0), (x + 0.3 * large / count, 0), (x + 0.3 * large / count + lean, large), (x + lean, large)], colour
        )


def _thing(canvas: Canvas, large: int, random: np.random.Generator) -> None:
    """A ball, box, tent, leaf or stick: triangles and lobes too, so that an ear alone proves nothing."""
    x, y = random.uniform(0.05, 0.95, 2) * large
    spot = canvas.placed(x, y, scale=large * random.uniform(0.05, 0.17), degrees=random.uniform(-40, 40))
    colour, kind = _any_colour(random), int(random.integers(5))
    if kind == 0:
        spot.ellipse(0, 0, 1, 1, colour)
    elif kind == 1:
        spot.polygon([(-1, -0.7), (1, -0.7), (1, 0.7), (-1, 0.7)], colour)
    elif kind == 2:
        spot.polygon([(-0.9, 0.8), (0, -1), (0.9, 0.8)], colour)
    elif kind == 3:
        spot.blob([(0, -1), (0.5, -0.2), (0.4, 0.8), (0, 1), (-0.4, 0.7), (-0.5, -0.3)], colour)
    else:
        spot.stroke([(-1.4, 0.2), (0, random.uniform(-0.6, 0.6)), (1.4, 0)], 0.12, colour)


def _hide_a_part(canvas: Canvas, large: int, random: np.random.Generator) -> None:
    """Grass, a post or a cushion in front of the animal."""
    colour, kind = _any_colour(random), int(random.integers(3))
    if kind == 0:
        for x in random.uniform(0, large, int(random.integers(8, 22))):
            tip = (x + random.uniform(-0.06, 0.06) * large, large * random.uniform(0.66, 0.86))
            canvas.polygon([(x - 0.012 * large, large), tip, (x + 0.012 * large, large)], colour)
    elif kind == 1:
        x, width = random.uniform(0.1, 0.9) * large, random.uniform(0.03, 0.07) * large
        canvas.polygon([(x, 0), (x + width, 0), (x + width, large), (x, large)], colour)
    else:
        corner = large * float(random.integers(2))
        canvas.ellipse(corner, large, random.uniform(0.2, 0.4) * large, random.uniform(0.15, 0.3) * large, colour)


def _light_and_noise(pixels: Pixels, random: np.random.Generator) -> Pixels:
    gain = np.float32(random.uniform(0.75, 1.2)) * random.uniform(0.94, 1.06, 3).astype(np.float32)
    size = len(pixels)
    left, top = random.integers(0, size + 1, 2)
    lit = _grain(size)[top : top + size, left : left + size] * np.float32(random.uniform(0, 12))
    lit += pixels * gain
    lit += np.float32(random.uniform(-15, 15) + 0.5)
    return np.clip(lit, 0, 255, out=lit).astype(np.uint8)


@lru_cache(maxsize=2)
def _grain(size: int) -> npt.NDArray[np.float32]:
    """Noise of which every picture takes another part; to make it anew for each would take as long as the drawing."""
    return np.random.default_rng(0).standard_normal((2 * size, 2 * size, 3), np.float32)


def _any_colour(random: np.random.Generator) -> Colour:
    bright = random.uniform(25, 240, 3)
    muted = bright + (bright.mean() - bright) * random.uniform(0.1, 0.9)
    red, green, blue = (int(value) for value in muted)
    return red, green, blue
