"""The report of a run: one HTML page with everything that is worth knowing about it."""

from lepton_ai.models.report.page import write_report

__all__ = ["write_report"]
