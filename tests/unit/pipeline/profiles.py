"""Colour profiles for tests, written as the ICC specification says, and what their colours are in sRGB."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# sRGB's primaries in XYZ as seen under D50, the white of profiles; columns are red, green, blue
_SRGB_TO_XYZ = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])


@dataclass(frozen=True)
class Space:
    """Colours of a display: primaries under D50 and the exponent; None for sRGB's curve."""

    primaries: tuple[tuple[float, float, float], ...]
    """XYZ of red, green, blue."""
    gamma: float | None


SRGB = Space(tuple(map(tuple, _SRGB_TO_XYZ.T.tolist())), None)
DISPLAY_P3 = Space(((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)), None)
ADOBE_RGB = Space(((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)), 2.19921875)
PROPHOTO = Space(((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491)), 1.8)


def rgb_profile(space: Space) -> bytes:
    """A profile of that space."""
    primaries = {name: _xyz(xyz) for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), space.primaries, strict=True)}
    return _profile(
        b"mntr", b"RGB ", b"XYZ ", {**primaries, **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(space.gamma))}
    )


def grey_profile(gamma: float | None) -> bytes:
    """A profile of grey with that exponent."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": _xyz((0.9642, 1.0, 0.8249)), b"kTRC": _curve(gamma)})


def ink_profile(darkness: float) -> bytes:
    """A profile of CMYK whose inks are all grey: the lightness falls by that share where any ink is full."""
    identity = bytes(range(256))
    table = b"".join(
        bytes([round(255 * (1 - darkness if corner else 1)), 128, 128]) for corner in range(16)
    )  # CIELAB in 8 bits
    matrix = struct.pack(">9i", *(65_536 * value for value in (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    lookup = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + identity * 4 + table + identity * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lookup, b"wtpt": _xyz((0.9642, 1.0, 0.8249))})


def seen_in_srgb(pixels: npt.NDArray[np.uint8], space: Space) -> npt.NDArray[np.float64]:
    """The same colours in sRGB, 0 … 255, cut to what sRGB can show."""
    values = pixels / 255
    linear = (
        values**space.gamma
        if space.gamma
        else np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    )
    xyz = linear @ np.array(space.primaries)
    shown = np.clip(xyz @ np.linalg.inv(_SRGB_TO_XYZ).T, 0, 1)
    return np.asarray(255 * np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055))


def _xyz(xyz: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65_536) for value in xyz))


def _curve(gamma: float | None) -> bytes:
    if gamma is not None:
        return b"para\0\0\0\0" + struct.pack(">HHi", 0, 0, round(gamma * 65_536))
    numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return b"para\0\0\0\0" + struct.pack(">HH5i", 3, 0, *(round(number * 65_536) for number in numbers))


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, content, begin = b"", b"", 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        table += name + struct.pack(">II", begin + len(content), len(tag))
        content += tag + bytes(-len(tag) % 4)
    head = struct.pack(">I4sI4s4s4s12x4s28x", begin + len(content), b"", 0x04200000, kind, space, connection, b"acsp")
    white = struct.pack(">3i", *(round(value * 65_536) for value in (0.9642, 1.0, 0.8249)))
    return (head + white).ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + content
