"""Batch norm in batches of a single row, which have no spread to normalise by."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from lepton_ai.errors import InvalidInput
from lepton_ai.training.callbacks import Callback, TrainingState


class SingleRows(Callback):
    """Has batch norm use its running statistics where it is given one value a channel, as it does when it is served.

    PyTorch refuses such batches. So a batch size of 1 trains, as with frozen batch norm; a note in the history says it.
    """

    def __init__(self) -> None:
        self._handles: list[RemovableHandle] = []
        self._is_told = False

    def on_fit_begin(self, state: TrainingState) -> None:
        """Watch every batch norm of the network."""

        def before(module: nn.Module, given: tuple[Any, ...]) -> None:
            if module.training and given[0].numel() == given[0].shape[1]:
                self._freeze(module, state)

        for module in state.network.modules():
            if isinstance(module, _BatchNorm):
                self._handles.append(module.register_forward_pre_hook(before))

    def on_fit_end(self, state: TrainingState) -> None:
        """Leave the network as it was found."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _freeze(self, module: nn.Module, state: TrainingState) -> None:
        if module.running_mean is None:
            raise InvalidInput.of_field(
                "batch_size",
                "leaves a batch of a single row, which batch norm without running statistics cannot take",
                fix="Give at least 2, or track_running_stats=True.",
            )
        module.training = False

        def after(module: nn.Module, *_: Any) -> None:
            module.training = True
            handle.remove()

        handle = module.register_forward_hook(after, always_call=True)
        if not self._is_told:
            self._is_told = True
            state.note(
                "a batch holds a single row, which batch norm cannot normalise",
                advice="A batch_size of 8 or more learns better with this network.",
                action="Batch norm used its running statistics for it.",
            )
