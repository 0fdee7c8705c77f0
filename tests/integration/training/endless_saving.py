"""Saves a model again and again, for tests to kill: `python -m … FILE`, where one is already."""

from __future__ import annotations

import sys

from lepton_ai.models import MLP


def main(path: str) -> None:
    model = MLP.load(path)
    while True:
        model.save(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
