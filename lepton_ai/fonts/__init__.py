"""Fonts for labels in any script, for pictures that Pillow or matplotlib draws.

A text is drawn in one font: the first installed one that has all its characters, else the one that has most of them.
What that one lacks is written as its code, never as an empty box, and what to install is said once.
"""

from lepton_ai.fonts.lettering import find_font, font_properties, legible, shortened

__all__ = ["find_font", "font_properties", "legible", "shortened"]
