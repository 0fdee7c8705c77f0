"""Heads of cats and dogs, seen from the front and from the side; one unit is about half a head."""

from __future__ import annotations

from lepton_ai.synthetic.drawing.canvas import Canvas, Colour
from lepton_ai.synthetic.drawing.look import Look

_PINK: Colour = (222, 158, 154)
_TONGUE: Colour = (220, 110, 118)
_BLACK: Colour = (28, 24, 26)
_WHITE: Colour = (248, 246, 240)
_SIDES = (-1.0, 1.0)


def draw_cat_face(canvas: Canvas, look: Look) -> None:
    """From the front: pointed ears, a round face, slit pupils, a small nose, whiskers."""
    for side in _SIDES:
        _pointed_ear(canvas, look, side)
    cheeks = 0.98 * look.plump**0.4
    canvas.blob(
        [
            (0, -0.84),
            (0.62, -0.7),
            (cheeks, -0.05),
            (0.78, 0.56),
            (0, 0.86),
            (-0.78, 0.56),
            (-cheeks, -0.05),
            (-0.62, -0.7),
        ],
        look.fur,
    )
    _face_pattern(canvas, look)
    canvas.blob([(0, 0.16), (0.36, 0.32), (0.3, 0.62), (0, 0.7), (-0.3, 0.62), (-0.36, 0.32)], look.light)
    for side in _SIDES:
        _eye(canvas, look, side * 0.4, -0.1, width=0.22, height=0.17, slit=True)
    canvas.polygon([(-0.11, 0.2), (0.11, 0.2), (0, 0.34)], look.nose)
    for side in _SIDES:
        canvas.stroke([(0, 0.34), (side * 0.08, 0.48), (side * 0.26, 0.46)], 0.035, _BLACK)
    if look.mouth_open:
        canvas.ellipse(0, 0.58, 0.1, 0.08, _TONGUE)
    _whiskers(canvas, look)


def draw_dog_face(canvas: Canvas, look: Look) -> None:
    """From the front: hanging ears, a long face, round pupils, a large snout, often the tongue."""
    jaw = 0.66 * look.plump**0.4
    canvas.blob(
        [
            (0, -0.9),
            (0.58, -0.78),
            (0.8, -0.2),
            (jaw, 0.45),
            (0.34, 0.9),
            (-0.34, 0.9),
            (-jaw, 0.45),
            (-0.8, -0.2),
            (-0.58, -0.78),
        ],
        look.fur,
    )
    _face_pattern(canvas, look)
    if look.mouth_open:
        canvas.blob([(-0.17, 0.7), (0.17, 0.7), (0.2, 1.1), (0.06, 1.26), (-0.1, 1.22), (-0.2, 1.05)], _TONGUE)
    canvas.blob(
        [(0, 0.02), (0.4, 0.24), (0.5, 0.6), (0.22, 0.86), (-0.22, 0.86), (-0.5, 0.6), (-0.4, 0.24)], look.light
    )
    for side in _SIDES:
        _eye(canvas, look, side * 0.36, -0.24, width=0.14, height=0.15, slit=False)
    canvas.blob([(-0.2, 0.12), (0, 0.06), (0.2, 0.12), (0.14, 0.3), (0, 0.36), (-0.14, 0.3)], look.nose)
    canvas.stroke([(0, 0.36), (0, 0.58)], 0.04, _BLACK)
    for side in _SIDES:
        canvas.stroke([(0, 0.58), (side * 0.18, 0.68), (side * 0.36, 0.6)], 0.04, _BLACK)
        _hanging_ear(canvas, look, side)


def draw_cat_profile(canvas: Canvas, look: Look) -> None:
    """From the side, looking right: a round head with a short muzzle and pointed ears."""
    tip = -1.1 - 0.3 * look.ear
    canvas.polygon([(0.1, -0.7), (0.36, tip + 0.06), (0.6, -0.5)], look.dark)
    canvas.blob(
        [(-0.8, -0.1), (-0.45, -0.75), (0.2, -0.85), (0.72, -0.45), (1.0, 0.1), (0.86, 0.42), (0.3, 0.72), (-0.5, 0.6)],
        look.fur,
    )
    _face_pattern(canvas, look)
    canvas.blob([(0.66, 0.02), (1.02, 0.1), (1.0, 0.4), (0.62, 0.5), (0.46, 0.26)], look.light)
    canvas.polygon([(-0.5, -0.55), (-0.32, tip), (0.16, -0.66)], look.fur)
    canvas.polygon([(-0.36, -0.62), (-0.26, tip + 0.24), (0.04, -0.68)], _PINK)
    _eye(canvas, look, 0.42, -0.14, width=0.15, height=0.16, slit=True)
    canvas.polygon([(0.94, 0.04), (1.08, 0.1), (0.98, 0.2)], look.nose)
    canvas.stroke([(0.98, 0.22), (0.86, 0.36), (0.66, 0.36)], 0.035, _BLACK)
    for rise in (-0.12, 0.06, 0.24):
        canvas.stroke([(0.8, 0.28), (1.2, 0.24 + rise), (1.55, 0.2 + 1.8 * rise)], 0.02, _hair(look))


def draw_dog_profile(canvas: Canvas, look: Look) -> None:
    """From the side, looking right: a long snout with the nose at its end, and a hanging ear."""
    reach = 1.45 + 0.2 * (look.plump - 1)
    if look.mouth_open:
        canvas.blob([(1.0, 0.42), (1.2, 0.4), (1.28, 0.86), (1.16, 1.0), (1.04, 0.86)], _TONGUE)
        canvas.blob([(0.3, 0.3), (0.9, 0.44), (1.25, 0.5), (1.2, 0.62), (0.7, 0.7), (0.2, 0.62)], look.dark)
    canvas.blob(
        [
            (-0.8, -0.1),
            (-0.5, -0.72),
            (0.1, -0.82),
            (0.5, -0.5),
            (0.72, -0.16),
            (reach, -0.06),
            (reach + 0.04, 0.3),
            (0.9, 0.46),
            (0.3, 0.62),
            (-0.5, 0.6),
        ],
        look.fur,
    )
    _face_pattern(canvas, look)
    canvas.blob([(0.7, 0.02), (reach - 0.04, 0.0), (reach, 0.28), (0.9, 0.42), (0.56, 0.3)], look.light)
    canvas.ellipse(reach, -0.04, 0.17, 0.14, look.nose)
    canvas.stroke([(reach - 0.04, 0.3), (0.95, 0.38), (0.62, 0.3)], 0.04, _BLACK)
    _eye(canvas, look, 0.36, -0.3, width=0.13, height=0.13, slit=False)
    drop = 0.75 * look.ear
    canvas.blob(
        [(-0.5, -0.66), (-0.1, -0.6), (0.02, -0.1), (-0.12, drop), (-0.46, drop - 0.04), (-0.62, 0.0)], look.dark
    )


def _pointed_ear(canvas: Canvas, look: Look, side: float) -> None:
    tip = -0.95 - 0.42 * look.ear
    lean = 0.7 + 0.12 * look.stride
    canvas.polygon([(side * 0.96, -0.2), (side * lean, tip), (side * 0.12, -0.74)], look.fur)
    canvas.polygon([(side * 0.8, -0.42), (side * lean * 0.97, tip + 0.2), (side * 0.34, -0.74)], _PINK)


def _hanging_ear(canvas: Canvas, look: Look, side: float) -> None:
    drop, out = 0.62 * look.ear, 1.08 + 0.1 * look.stride
    canvas.blob(
        [
            (side * 0.46, -0.84),
            (side * 0.86, -0.78),
            (side * out, -0.1),
            (side * out * 0.96, drop),
            (side * 0.8, drop - 0.06),
            (side * 0.66, -0.2),
        ],
        look.dark,
    )


def _eye(canvas: Canvas, look: Look, x: float, y: float, *, width: float, height: float, slit: bool) -> None:
    if look.eyes_shut:
        canvas.stroke([(x - width, y), (x, y + 0.5 * height), (x + width, y)], 0.05, _BLACK)
        return
    canvas.ellipse(x, y, width + 0.03, height + 0.03, _BLACK)
    canvas.ellipse(x, y, width, height, look.iris)
    canvas.ellipse(x, y, 0.05 if slit else 0.6 * width, 0.92 * height if slit else 0.6 * height, _BLACK)
    canvas.ellipse(x - 0.3 * width, y - 0.35 * height, 0.04, 0.04, _WHITE)


def _whiskers(canvas: Canvas, look: Look) -> None:
    for side in _SIDES:
        for rise in (-0.14, 0.02, 0.18):
            points = [(side * 0.28, 0.42 + 0.4 * rise), (side * 0.8, 0.36 + rise), (side * 1.28, 0.4 + 1.9 * rise)]
            canvas.stroke(points, 0.02, _hair(look))


def _hair(look: Look) -> Colour:
    return _WHITE if sum(look.fur) < 380 else _BLACK


def _face_pattern(canvas: Canvas, look: Look) -> None:
    """Markings inside the outline that both animals have."""
    if look.pattern == "stripes":
        for x in (-0.24, 0.0, 0.24):
            canvas.stroke([(x, -0.76), (0.8 * x, -0.46)], 0.08, look.second, taper=0.4)
    elif look.pattern == "patches":
        canvas.ellipse(-0.36, -0.2, 0.32, 0.36, look.second)
    elif look.pattern == "mask":
        canvas.blob([(0, -0.7), (0.16, -0.1), (0.44, 0.4), (0, 0.7), (-0.44, 0.4), (-0.16, -0.1)], look.second)
