"""Runs a command as a shell does."""

from __future__ import annotations

import pytest

from lepton_ai.cli import main


def run(*arguments: object) -> int | str | None:
    """The exit status."""
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return caught.value.code
