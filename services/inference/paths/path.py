"""The ways that a raw item can take. All lead to the same answer."""

from __future__ import annotations

from enum import StrEnum


class Path(StrEnum):
    """Where a model's pipeline runs."""

    REMOTE = "remote"
    """In the preprocess service: on machines of its own, beside a model that fills a GPU, for heavy pipelines."""
    FUSED = "fused"
    """In the process that runs the model: nothing is sent from one to the other."""


class Reason(StrEnum):
    """Why an item takes its path."""

    SETTING = "setting"
    ONLY = "only one there is"
    ALONE = "fastest for a lone caller"
    LOAD = "does most at this load"
    TRIAL = "being measured"
    OUTAGE = "the other one is away"
