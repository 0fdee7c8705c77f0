"""Files as inputs: the kinds of input that are files, and the value that says of itself that it is to be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lepton_ai.errors import InvalidInput

FILE_KINDS = ("image", "sound")
"""Kinds of inputs and columns that are encoded files."""


@dataclass(frozen=True)
class File:
    """A file to read: its content is the input. `File("cat.jpg")` and `pathlib.Path("cat.jpg")` mean the same.

    Use it wherever texts come from elsewhere too: a plain text is never taken for a path, unless a picture or a sound
    is the only thing that a model takes.
    """

    path: str | Path
    """Where it lies, on the machine of the caller."""

    def read(self) -> bytes:
        """The whole content. Raises InvalidInput when it cannot be read."""
        try:
            return Path(self.path).read_bytes()
        except OSError as error:
            reason = error.strerror
        except ValueError:
            reason = "not a valid path"
        raise InvalidInput(f"{str(self.path)[:200]!r} cannot be read: {reason}.", fix="Name a file that exists.")
