"""`lepton feedback`: say whether predictions were right, see what was said, and learn from it."""

from __future__ import annotations

import click

from lepton_ai.cli.feedback.complaints import complaints
from lepton_ai.cli.feedback.exchange import export, import_results
from lepton_ai.cli.feedback.opinions import forget, give, list_feedback, quality


@click.group()
def feedback() -> None:
    """What users say of predictions: give it, list it, see the quality of each version, and train on it."""


for command in (give, list_feedback, quality, complaints, export, import_results, forget):
    feedback.add_command(command)
