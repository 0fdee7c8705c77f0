"""How many processes train together, and where: one, unless torchrun started more."""

from __future__ import annotations

import logging
import os
import warnings

from lightning_fabric import Fabric

from lepton_ai.training.settings import FitSettings


def launch(settings: FitSettings) -> Fabric:
    """Lightning Fabric for this process, joined with the others that torchrun started with it."""
    # torchrun says in the environment what it started; there is no other way to learn it.
    here, nodes = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), int(os.environ.get("GROUP_WORLD_SIZE", "1"))
    strategy = "ddp" if here * nodes > 1 else "auto"
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice about hardware that is there but was not asked for
        fabric = Fabric(
            accelerator=settings.accelerator,
            devices=here,
            num_nodes=nodes,
            strategy=strategy,
            precision=settings.precision,  # type: ignore[arg-type] # checked there
        )
        fabric.launch()
    return fabric
