"""The training doctor: watches a run, says in plain words what goes wrong and, when asked, does something about it."""

from lepton_ai.training.doctor.doctor import Doctor
from lepton_ai.training.doctor.finding import Check, Finding, Remedy

__all__ = ["Check", "Doctor", "Finding", "Remedy"]
