"""Finds the files of ready sets: in a folder that is named, in LEPTON_DATA_DIR, or where a package put them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lepton_ai.errors import NotFound
from lepton_ai.installed import package_folder

DATA_DIRECTORY_VARIABLE = "LEPTON_DATA_DIR"


@dataclass(frozen=True)
class Source:
    """Files that belong together, and where they may lie. Found without importing any package."""

    folder: str
    """The folder in LEPTON_DATA_DIR that is theirs, such as fashion-mnist."""
    files: tuple[str, ...]
    install: str
    """What to do to have them, as a command."""
    package: str = ""
    """The Python package that ships them; it is never imported, since some do not import everywhere."""
    package_folder: str = ""
    system_folder: str = ""
    """Where a Debian package puts them."""

    def find(self, root: str | Path | None = None) -> Path:
        """The folder that holds all the files. With `root` nothing else is looked at.

        Raises NotFound that names the missing files and what to install.
        """
        for folder in self._folders(root):
            if all((folder / name).is_file() for name in self.files):
                return folder
        raise self._missing(root)

    def _folders(self, root: str | Path | None) -> Sequence[Path]:
        if root is not None:
            return (Path(root), Path(root, self.folder))
        folders = list(data_folders(self.folder))
        if self.package and (installed := package_folder(self.package)) is not None:
            folders.append(installed / self.package_folder)
        if self.system_folder:
            folders.append(Path(self.system_folder))
        return folders

    def _missing(self, root: str | Path | None) -> NotFound:
        names = ", ".join(self.files)
        if root is not None:
            return NotFound(
                f"The folder given as root does not hold {names}.",
                reason="DATA_NOT_FOUND",
                fix=f"Name the folder with these files, or leave root out and install them: {self.install}.",
            )
        return NotFound(
            f"The files of this data set are not on this machine: {names}.",
            reason="DATA_NOT_INSTALLED",
            fix=f"Install them: {self.install}. If you have them elsewhere, name their folder with root= or put it "
            f"into {DATA_DIRECTORY_VARIABLE} as {self.folder}/.",
        )


def data_directory() -> Path | None:
    """The user's own folder of data sets: LEPTON_DATA_DIR. The only place that reads it."""
    named = os.environ.get(DATA_DIRECTORY_VARIABLE, "")
    return Path(named).expanduser() if named else None


def data_folders(folder: str) -> tuple[Path, ...]:
    """Where a set's files may lie in the user's own folder: in its own subfolder first."""
    directory = data_directory()
    return () if directory is None else (directory / folder, directory)
