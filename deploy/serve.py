"""The entry point of every image: becomes the service that the image was built for, so that it gets the signals."""

from __future__ import annotations

import os
import sys

MODULES = {"traces": "lepton_ai.traces"}

service = os.environ["LEPTON_SERVICE"]
os.execv(sys.executable, [sys.executable, "-m", MODULES.get(service, f"services.{service}")])  # noqa: S606
