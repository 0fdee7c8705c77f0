"""Draws simple cats and dogs: seeded pictures in which only the animal's shape tells which of the two it is."""

from lepton_ai.synthetic.drawing.scene import draw_picture

__all__ = ["draw_picture"]
