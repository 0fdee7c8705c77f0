"""Before workers are started it is seen to that each can have what is its own."""

from __future__ import annotations

import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.serving.workers.share import share_port
from lepton_ai.mesh.settings import ServiceSettings


@pytest.mark.parametrize("name", ["worker_port", "metrics_port"])
def test_ports_that_would_run_out_among_the_workers_are_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"LEPTON_{name.upper()}.*Set 65533 at most"):
        share_port(ServiceSettings(workers=3).model_copy(update={name: 65534}))
