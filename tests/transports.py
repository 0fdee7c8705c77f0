"""The transports of a public port, as parameters of tests that hold for each of them."""

from __future__ import annotations

import pytest

from lepton_ai.mesh.serving.transports.pyvoy.exec import can_embed

TRANSPORTS = (
    pytest.param("grpc"),
    pytest.param("pyvoy", marks=pytest.mark.skipif(not can_embed(), reason="this Python has no shared library")),
)
