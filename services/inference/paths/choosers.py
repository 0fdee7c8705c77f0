"""A model's choosers: one for small items and one for large ones, as what is best for one need not be for the other."""

from __future__ import annotations

from services.inference.paths.chooser import PathChooser
from services.inference.paths.path import Path, Reason
from services.inference.version import LoadedVersion

LARGE_ITEM_BYTES = 512 << 10


class PathChoosers:
    """The paths that a version has, and who chooses among them."""

    def __init__(self, loaded: LoadedVersion, fixed: Path | None) -> None:
        """`fixed`: the only path that is wanted; a version that does not have it takes the one it has."""
        has = [Path.FUSED, Path.REMOTE] if loaded.runs_items else [Path.REMOTE]
        is_fixed = fixed is not None and fixed in has
        paths = [fixed] if fixed is not None and is_fixed else has
        why_only = Reason.SETTING if is_fixed else Reason.ONLY
        self.small = PathChooser(paths, why_only=why_only)
        self.large = PathChooser(paths, why_only=why_only)

    def of(self, size_bytes: int) -> PathChooser:
        """Who chooses for items of this size."""
        return self.small if size_bytes < LARGE_ITEM_BYTES else self.large
