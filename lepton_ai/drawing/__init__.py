"""Pictures with what a model found in them."""

from PIL.Image import Image

from lepton_ai.drawing.boxes import draw_boxes
from lepton_ai.drawing.masks import draw_mask
from lepton_ai.drawing.picture import Picture
from lepton_ai.drawing.saving import save_drawn

__all__ = ["Image", "Picture", "draw_boxes", "draw_mask", "save_drawn"]
