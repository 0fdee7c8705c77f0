"""Data sets: collected from anywhere, typed by a schema, split, and with a digest of what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.lazy import lazily

if TYPE_CHECKING:
    from lepton_ai.datasets.clean import Cleaned, CleaningPolicy
    from lepton_ai.datasets.dataset import Dataset
    from lepton_ai.datasets.fetching import Limits
    from lepton_ai.datasets.folder import read_folder
    from lepton_ai.datasets.lineage import Lineage, Operation
    from lepton_ai.datasets.listing import read_listing
    from lepton_ai.datasets.memory import from_arrays, from_rows
    from lepton_ai.datasets.profile import Profile
    from lepton_ai.datasets.ready import (
        ChineseReviews,
        Churn,
        Digits,
        DogsAndCats,
        FashionMNIST,
        MovieLens,
        Shuttle,
        SpokenDigits,
    )
    from lepton_ai.datasets.schema import Column, Schema
    from lepton_ai.datasets.sql import read_sql
    from lepton_ai.datasets.table import read_table
    from lepton_ai.feedback.dataset import from_feedback
    from lepton_ai.pipeline.reading import Reading

__all__ = [
    "ChineseReviews",
    "Churn",
    "Cleaned",
    "CleaningPolicy",
    "Column",
    "Dataset",
    "Digits",
    "DogsAndCats",
    "FashionMNIST",
    "Limits",
    "Lineage",
    "MovieLens",
    "Operation",
    "Profile",
    "Reading",
    "Schema",
    "Shuttle",
    "SpokenDigits",
    "from_arrays",
    "from_feedback",
    "from_rows",
    "read_folder",
    "read_listing",
    "read_sql",
    "read_table",
]

_HOMES = {
    "ChineseReviews": "lepton_ai.datasets.ready",
    "Churn": "lepton_ai.datasets.ready",
    "Cleaned": "lepton_ai.datasets.clean",
    "CleaningPolicy": "lepton_ai.datasets.clean",
    "Column": "lepton_ai.datasets.schema",
    "Dataset": "lepton_ai.datasets.dataset",
    "Digits": "lepton_ai.datasets.ready",
    "DogsAndCats": "lepton_ai.datasets.ready",
    "FashionMNIST": "lepton_ai.datasets.ready",
    "Limits": "lepton_ai.datasets.fetching",
    "Lineage": "lepton_ai.datasets.lineage",
    "MovieLens": "lepton_ai.datasets.ready",
    "Operation": "lepton_ai.datasets.lineage",
    "Profile": "lepton_ai.datasets.profile",
    "Reading": "lepton_ai.pipeline.reading",
    "Schema": "lepton_ai.datasets.schema",
    "Shuttle": "lepton_ai.datasets.ready",
    "SpokenDigits": "lepton_ai.datasets.ready",
    "from_arrays": "lepton_ai.datasets.memory",
    "from_feedback": "lepton_ai.feedback.dataset",
    "from_rows": "lepton_ai.datasets.memory",
    "read_folder": "lepton_ai.datasets.folder",
    "read_listing": "lepton_ai.datasets.listing",
    "read_sql": "lepton_ai.datasets.sql",
    "read_table": "lepton_ai.datasets.table",
}

__getattr__ = lazily(__name__, _HOMES)
