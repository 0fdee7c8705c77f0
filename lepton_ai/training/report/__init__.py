"""Reports of a run: curves as a picture, and one HTML page with everything that is worth knowing about it."""

from lepton_ai.training.report.curves import draw_curves, plot_history, plot_rates
from lepton_ai.training.report.page import write_report

__all__ = ["draw_curves", "plot_history", "plot_rates", "write_report"]
