"""Whole animals in their poses; one unit is about half a body's length, the origin is the middle of the body."""

from __future__ import annotations

from lepton_ai.datasets.ready.photo_folders import Animal
from lepton_ai.synthetic.drawing.canvas import Canvas, Colour, Pair
from lepton_ai.synthetic.drawing.heads import draw_cat_face, draw_cat_profile, draw_dog_face, draw_dog_profile
from lepton_ai.synthetic.drawing.look import Look

_FACES = {"cat": draw_cat_face, "dog": draw_dog_face}
_PROFILES = {"cat": draw_cat_profile, "dog": draw_dog_profile}
_LEG = {"cat": 0.17, "dog": 0.21}


def draw_animal(canvas: Canvas, animal: Animal, look: Look) -> None:
    """A cat or a dog as its look says."""
    if look.pose == "face":
        _FACES[animal](canvas.placed(0, 0.05, scale=0.95, degrees=look.head_degrees), look)
    elif look.pose == "sitting":
        _sitting(canvas, animal, look)
    elif look.pose == "lying":
        _lying(canvas, animal, look)
    else:
        _on_its_feet(canvas, animal, look)


def _sitting(canvas: Canvas, animal: Animal, look: Look) -> None:
    wide = 0.5 * look.plump
    _tail(canvas, animal, look, (0.9 * wide, 0.8), upright=False)
    canvas.blob(
        [(-0.3, -0.25), (0.3, -0.25), (wide, 0.5), (0.95 * wide, 0.95), (-0.95 * wide, 0.95), (-wide, 0.5)], look.fur
    )
    _markings(canvas, look, [(-0.2, 0.35), (0.25, 0.6)])
    canvas.ellipse(0, 0.3, 0.22, 0.4, look.light)
    for side in (-1, 1):
        canvas.ellipse(side * 0.42 * look.plump, 0.88, 0.2, 0.12, look.dark)
        canvas.stroke([(side * 0.17, 0.25), (side * 0.17, 0.92)], _LEG[animal], look.fur)
        canvas.ellipse(side * 0.17, 0.96, 0.13, 0.08, look.light)
    _collar(canvas, look, (-0.24, -0.12), (0.24, -0.12))
    _FACES[animal](canvas.placed(0, -0.52, scale=0.5, degrees=look.head_degrees), look)


def _on_its_feet(canvas: Canvas, animal: Animal, look: Look) -> None:
    """Seen from the side: standing, it looks at us; walking, it looks where it goes."""
    deep = 0.33 * look.plump
    _tail(canvas, animal, look, (-0.85, -0.12), upright=True)
    _legs(canvas, animal, look, look.dark, shift=0.12)
    canvas.blob(
        [
            (-0.9, -0.15),
            (-0.5, -0.3),
            (0.5, -0.3),
            (0.85, -0.25),
            (0.85, 0.15),
            (0.4, deep),
            (-0.4, deep - 0.06),
            (-0.85, 0.18),
        ],
        look.fur,
    )
    _legs(canvas, animal, look, look.fur, shift=0.0)
    _markings(canvas, look, [(-0.5, -0.05), (-0.1, 0.0), (0.35, -0.05)])
    canvas.stroke([(0.65, -0.05), (0.9, -0.4)], 0.36, look.fur)
    _collar(canvas, look, (0.66, -0.3), (0.98, -0.14))
    if look.pose == "walking":
        _PROFILES[animal](canvas.placed(0.98, -0.52, scale=0.36, degrees=look.head_degrees), look)
    else:
        _FACES[animal](canvas.placed(0.95, -0.55, scale=0.38, degrees=look.head_degrees), look)


def _lying(canvas: Canvas, animal: Animal, look: Look) -> None:
    _tail(canvas, animal, look, (-0.85, 0.3), upright=False)
    high = 0.3 * look.plump
    canvas.blob(
        [(-0.95, 0.3), (-0.75, -0.1), (-0.2, -high), (0.5, -high), (0.85, 0.05), (0.85, 0.4), (0, 0.44), (-0.8, 0.44)],
        look.fur,
    )
    _markings(canvas, look, [(-0.55, 0.1), (-0.15, 0.05), (0.25, 0.05)])
    canvas.ellipse(-0.6, 0.34, 0.28, 0.16, look.dark)
    canvas.stroke([(0.5, 0.4), (1.15, 0.42)], _LEG[animal], look.fur)
    canvas.ellipse(1.18, 0.42, 0.12, 0.08, look.light)
    _FACES[animal](canvas.placed(0.72, -0.3, scale=0.42, degrees=look.head_degrees), look)


def _legs(canvas: Canvas, animal: Animal, look: Look, colour: Colour, *, shift: float) -> None:
    step = 0.22 * look.stride * (-1 if shift else 1)
    for x in (-0.7, 0.62):
        foot = x + shift + step * (1 if x > 0 else -1)
        canvas.stroke(
            [(x + shift, 0.05), (x + shift + 0.3 * step, 0.45), (foot, 0.86)], _LEG[animal], colour, taper=0.75
        )
        canvas.ellipse(foot + 0.05, 0.88, 0.12, 0.07, colour)


def _tail(canvas: Canvas, animal: Animal, look: Look, start: Pair, *, upright: bool) -> None:
    """Slim and long with a bend for a cat; short, thick and pointed for a dog. It leaves the body outwards."""
    x, y = start
    out = -1 if x < 0 else 1
    long = look.tail * (1.0 if animal == "cat" else 0.6)
    bend = 0.2 * look.stride
    if animal == "cat":
        rise = 0.95 if upright else 0.45
        away = ((0, 0), (0.35, 0.08), (0.5 + bend, -0.4 * rise), (0.3 - bend, -0.75 * rise), (0.5, -rise))
        points = [(x + out * long * right, y + long * down) for right, down in away]
        canvas.stroke(points, 0.1, look.fur, taper=0.75)
    else:
        rise = 0.8 if upright else 0.3
        points = [
            (x, y),
            (x + out * 0.4 * long, y - 0.35 * rise * long),
            (x + out * (0.65 + bend) * long, y - rise * long),
        ]
        canvas.stroke(points, 0.2, look.fur, taper=0.35)


def _markings(canvas: Canvas, look: Look, places: list[Pair]) -> None:
    for number, (x, y) in enumerate(places):
        if look.pattern == "patches":
            canvas.ellipse(x, y, 0.2, 0.13 + 0.03 * number, look.second, degrees=30 * number)
        elif look.pattern == "stripes":
            canvas.stroke([(x, y - 0.18), (x + 0.05, y), (x, y + 0.16)], 0.07, look.second, taper=0.5)


def _collar(canvas: Canvas, look: Look, start: Pair, end: Pair) -> None:
    if look.collar is not None:
        canvas.stroke([start, end], 0.09, look.collar)
