"""Pictures with what a model found in them."""

from lepton_ai.drawing.boxes import Picture, draw_boxes

__all__ = ["Picture", "draw_boxes"]
