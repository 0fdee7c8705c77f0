"""Prints what pyproject.toml asks for, so that an image keeps dependencies in a layer that code changes leave alone.

python requirements.py inference    # of the package with this extra, extras of extras included
python requirements.py --build      # of building the package
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OWN_EXTRA = re.compile(r"lepton-serving\[(.+)\]")


def expand(extra: str, extras: dict[str, list[str]]) -> Iterator[str]:
    """The requirements of an extra; those of other extras of ours in place of their names."""
    for requirement in extras[extra]:
        own = OWN_EXTRA.fullmatch(requirement)
        if own is None:
            yield requirement
            continue
        for name in own[1].split(","):
            yield from expand(name, extras)


def main(chosen: str) -> None:
    """Print one requirement a line."""
    document: dict[str, Any] = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    if chosen == "--build":
        requirements = document["build-system"]["requires"]
    else:
        project = document["project"]
        requirements = [*project["dependencies"], *expand(chosen, project["optional-dependencies"])]
    sys.stdout.write("\n".join(requirements) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
