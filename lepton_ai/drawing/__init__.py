"""Pictures with what a model found in them."""

from PIL.Image import Image

from lepton_ai.drawing.boxes import Picture, draw_boxes
from lepton_ai.drawing.saving import save_drawn

__all__ = ["Image", "Picture", "draw_boxes", "save_drawn"]
