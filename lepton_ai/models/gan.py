"""A generative adversarial network: draws new pictures that could be from the data set."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from lepton_ai.datasets import Dataset
from lepton_ai.datasets.augment.compose import Wanted
from lepton_ai.datasets.batch import Batch
from lepton_ai.errors import InvalidInput
from lepton_ai.models.answers import Evaluation, answer_rows
from lepton_ai.models.checks import read_picture_shape
from lepton_ai.models.cnn import normalize_pixels
from lepton_ai.models.data import Data, as_dataset
from lepton_ai.models.fitting.habits import EVALUATE, FIT, taking
from lepton_ai.models.golden import GoldenSample
from lepton_ai.models.model import Model
from lepton_ai.models.preparation import fit_pipeline, picture_steps
from lepton_ai.pipeline import Pipeline
from lepton_ai.tensors import Array
from lepton_ai.training.generation import AdversarialTraining, Generation, judge_rivals
from lepton_ai.training.history import History
from lepton_ai.training.loop import Material
from lepton_ai.training.prepared import Prepared
from lepton_ai.training.settings import FitSettings
from lepton_ai.training.tasks import Task

_JUDGED_ROWS = 256
_SMALLEST_SIDE = 4
"""Of what the generator begins with; it doubles up to the picture's sides."""
_AVERAGE = 0.995
_GOLDEN_SEEDS = (1, 2)


def adam_without_momentum(groups: Any, rate: float) -> torch.optim.Optimizer:
    """Adam that does not push on where the rival stood before; with spectral norm it bears a high rate."""
    return torch.optim.Adam(groups, lr=rate, betas=(0.0, 0.99))


class GAN(Model):
    """Draws pictures: a DCGAN (Radford et al. 2016) with spectral norm in the discriminator (Miyato et al. 2018).

    `input_shape` is (height, width, channels), sides multiples of 4. Pictures are made by a running average of the
    generator's weights, which is steadier than any one step of them. Served, it takes a `seed` and answers `picture`,
    float from 0 to 1, [height, width, channels]: the one that `sample(1, seed=seed)` gives.
    """

    defaults: ClassVar[Mapping[str, Any]] = {
        "optimizer": adam_without_momentum,
        "learning_rate": 2e-3,
        "weight_decay": 0.0,
        "batch_size": 32,
        "epochs": 20,
    }

    def __init__(
        self, input_shape: Sequence[int] = (28, 28, 1), *, noise: int = 64, width: int = 16, seed: int = 0
    ) -> None:
        self._shape = read_picture_shape(input_shape, multiple_of=4)
        super().__init__(input_shape=list(self._shape), noise=noise, width=width, seed=seed)

    @taking(FIT)
    def fit(
        self,
        data: Data,
        targets: Any = None,
        *,
        validation: Data | float | None = None,
        augment: Wanted = None,
        **settings: Any,
    ) -> History:
        """As every model, but on all rows: there is nothing to compare with held-out ones."""
        if validation is not None:
            raise InvalidInput.of_field("validation", "does not go with a GAN", fix="Leave it out; see `evaluate`.")
        return super().fit(data, targets, validation=None, augment=augment, **settings)

    def train(self, material: Material, settings: FitSettings) -> History:
        if settings.accumulate != 1 or settings.loss is not None:
            name = "loss" if settings.accumulate == 1 else "accumulate"
            raise InvalidInput.of_field(name, "does not go with a GAN", fix="Leave it out.")
        _, task = self._trained()
        return AdversarialTraining(self.network, task, material, settings, self._callbacks(settings)).fit()

    def prepare(self, data: Dataset) -> Pipeline:
        """The pipeline of the served generator; pictures to learn from go through one of their own."""
        steps = [{"op": "draw_noise", "input": "seed", "size": self.config["noise"], "output": "noise"}]
        return Pipeline.load({"inputs": {"seed": "number"}, "steps": steps})

    def define_task(self, data: Dataset) -> Task:
        return Generation()

    def build_network(self) -> nn.Module:
        return GANNetwork(self._shape, self.config["noise"], self.config["width"])

    def choose_golden(self, data: Dataset) -> list[GoldenSample]:
        answers = self.predict([{"seed": seed} for seed in _GOLDEN_SEEDS])
        return [
            GoldenSample({"seed": seed}, "", {"picture": answer.outputs["picture"].tolist()})
            for seed, answer in zip(_GOLDEN_SEEDS, answers, strict=True)
        ]

    @taking(EVALUATE)
    def evaluate(self, data: Data, targets: Any = None, *, batch_size: int = _JUDGED_ROWS) -> Evaluation:
        """The discriminator's loss on these pictures against as many made ones, and the share of those that fool it.

        What people would say of the pictures, neither tells: let a classifier of the same data judge samples.
        """
        self._trained()
        rows = self._prepared(as_dataset(data, targets))
        batches = [(judge_rivals(self.network, batch), len(batch)) for batch in rows.batches(batch_size)]
        means = {name: sum(each[name] * count for each, count in batches) / len(rows) for name in batches[0][0]}
        return Evaluation({"loss": means["discriminator_loss"], "fooled": means["fooled"]}, main_metric="fooled")

    def sample(self, n: int = 16, seed: int = 0) -> Array:
        """`n` pictures, uint8 [n, height, width, channels]: the first is of this seed, the next of the one after it."""
        pipeline, task = self._trained()
        rows = [pipeline.run({"seed": seed + index}) for index in range(n)]
        pictures = np.stack([answer.outputs["picture"] for answer in answer_rows(self.network, task, rows)])
        return np.asarray(np.rint(pictures.astype(np.float32) * 255), dtype=np.uint8)

    def _prepared(self, data: Dataset) -> Prepared:
        column, steps = picture_steps(data, self._shape)
        _, task = self._trained()
        return Prepared.of(data, fit_pipeline([column], steps, data), task)


class GANNetwork(nn.Module):
    """float32 noise [N, noise] → picture from 0 to 1 [N, height, width, channels]; both rivals live in it."""

    followed: Tensor

    def __init__(self, shape: tuple[int, int, int], noise: int, width: int) -> None:
        super().__init__()
        self.noise_size = noise
        self.generator = make_generator(shape, noise, width)
        self.discriminator = make_discriminator(shape, width)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.register_buffer("followed", torch.zeros(()))

    def forward(self, noise: Tensor) -> Tensor:
        pictures: Tensor = self.average(noise)
        return ((pictures + 1) / 2).permute(0, 2, 3, 1)

    def train(self, mode: bool = True) -> GANNetwork:
        super().train(mode)
        self.average.eval()
        return self

    def real(self, batch: Batch) -> Tensor:
        """Pictures as the discriminator takes them."""
        return normalize_pixels(next(iter(batch.inputs.values())))

    @torch.no_grad()
    def follow(self) -> None:
        """Move the averaged generator a little towards the one in training; more in the beginning."""
        self.followed += 1
        share = max(1 - _AVERAGE, 1 / (1 + 0.1 * float(self.followed)))
        theirs = self.generator.state_dict()
        for name, tensor in self.average.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(theirs[name], share)
            else:
                tensor.copy_(theirs[name])


def make_generator(shape: tuple[int, int, int], noise: int, width: int) -> nn.Module:
    """float32 [N, noise] → [N, channels, height, width] from −1 to 1; sides double until they are the picture's."""
    doublings = _doublings(shape)
    inner = (width << doublings, shape[0] >> doublings, shape[1] >> doublings)
    layers: list[nn.Module] = [
        nn.Linear(noise, inner[0] * inner[1] * inner[2], bias=False),
        nn.Unflatten(1, inner),
        nn.BatchNorm2d(inner[0]),
        nn.ReLU(inplace=True),
    ]
    before = inner[0]
    for _ in range(doublings - 1):
        layers += [nn.ConvTranspose2d(before, before // 2, 4, stride=2, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(before // 2), nn.ReLU(inplace=True)]
        before //= 2
    return nn.Sequential(*layers, nn.ConvTranspose2d(before, shape[2], 4, stride=2, padding=1), nn.Tanh())


def make_discriminator(shape: tuple[int, int, int], width: int) -> nn.Module:
    """float32 [N, channels, height, width] from −1 to 1 → [N]: above 0 for what it takes for real."""
    doublings = _doublings(shape)
    norm = nn.utils.parametrizations.spectral_norm
    layers: list[nn.Module] = []
    before = shape[2]
    for index in range(doublings):
        after = width << (index + 1)
        layers += [norm(nn.Conv2d(before, after, 4, stride=2, padding=1)), nn.LeakyReLU(0.2, inplace=True)]
        before = after
    last = before * (shape[0] >> doublings) * (shape[1] >> doublings)
    return nn.Sequential(*layers, nn.Flatten(), norm(nn.Linear(last, 1)), nn.Flatten(0))


def _doublings(shape: tuple[int, int, int]) -> int:
    """How often both sides can be halved without going below the least."""
    count, height, width = 0, shape[0], shape[1]
    while height % 2 == 0 and width % 2 == 0 and min(height, width) // 2 >= _SMALLEST_SIDE:
        count, height, width = count + 1, height // 2, width // 2
    return count
