"""How many processes train together, and what they tell each other: one, unless torchrun or Ray started more."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import nn

from lepton_ai.errors import FailedPrecondition
from lepton_ai.training.settings import FitSettings


def launch(settings: FitSettings) -> Fabric:
    """Lightning Fabric for this process, joined with the others that torchrun or Ray started with it.

    Raises FailedPrecondition when the machine does not have the accelerator, or too few of it.
    """
    # The launcher says in the environment what it started; there is no other way to learn it.
    here, everywhere = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), int(os.environ.get("WORLD_SIZE", "1"))
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    with warnings.catch_warnings(), _device_errors(settings.accelerator):
        warnings.simplefilter("ignore")  # advice about hardware that is there but was not asked for
        fabric = Fabric(
            accelerator=settings.accelerator,
            devices=here,
            num_nodes=max(1, everywhere // here),
            strategy="ddp" if everywhere > 1 else "auto",
            precision=settings.precision,  # type: ignore[arg-type] # checked there
        )
        fabric.launch()
    return fabric


@contextmanager
def _device_errors(accelerator: str) -> Iterator[None]:
    """What Fabric says about devices that are not there, as an error of ours."""
    try:
        yield
    except (RuntimeError, ValueError, MisconfigurationException) as error:
        if accelerator in ("auto", "cpu"):
            raise
        raise FailedPrecondition(
            f"This machine cannot train with accelerator={accelerator!r}: {str(error).splitlines()[0].rstrip('.!')}.",
            reason="NO_DEVICE",
            fix='Leave accelerator="auto", which takes the best there is.',
        ) from error


def is_first_process() -> bool:
    """Whether this is the process that prints and saves: the only one, or the first of several."""
    distributed = torch.distributed
    return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_rank() == 0


def sum_over(fabric: Fabric, value: float) -> float:
    """The sum of what each process has. All of them must ask."""
    if fabric.world_size == 1:
        return value
    return float(fabric.all_reduce(torch.tensor(value, dtype=torch.float64), reduce_op="sum"))  # type: ignore[arg-type]


def of_first(fabric: Fabric, value: Any) -> Any:
    """What the first process has. All of them must ask."""
    return value if fabric.world_size == 1 else fabric.broadcast(value)


def share_buffers(fabric: Fabric, network: nn.Module) -> None:
    """Give everybody the running statistics of the first process: each process updates its own."""
    if fabric.world_size > 1:
        for buffer in network.buffers():
            torch.distributed.broadcast(buffer, src=0)
