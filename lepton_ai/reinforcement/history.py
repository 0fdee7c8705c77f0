"""What an agent went through while it learned, and how well it does now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]


@dataclass(repr=False)
class History:
    """One entry for every episode of training, in order."""

    rewards: list[float] = field(default_factory=list)
    """Sum of the rewards of the episode."""
    lengths: list[int] = field(default_factory=list)
    """Steps that it took."""
    epsilons: list[float] = field(default_factory=list)
    """Share of random actions while it was played."""

    def __len__(self) -> int:
        return len(self.rewards)

    def __repr__(self) -> str:
        return f"History({len(self)} episodes, mean reward of the last 100: {self.mean_reward():.4g})"

    def record(self, reward: float, length: int, epsilon: float) -> None:
        """Add an episode."""
        self.rewards.append(reward)
        self.lengths.append(length)
        self.epsilons.append(epsilon)

    def extend(self, later: History) -> None:
        """Add the episodes of further training."""
        self.rewards += later.rewards
        self.lengths += later.lengths
        self.epsilons += later.epsilons

    def mean_reward(self, last: int = 100) -> float:
        """Mean over the last episodes; NaN before the first one."""
        return float(np.mean(self.rewards[-last:])) if self.rewards else float("nan")

    def plot(self, *, window: int = 100) -> Figure:
        """The running mean of reward and length over episodes, as a matplotlib figure."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 3.5), layout="constrained")
        curves: list[tuple[str, Sequence[float]]] = [("reward", self.rewards), ("steps", self.lengths)]
        for axes, (name, values) in zip(figure.subplots(1, 2), curves, strict=True):
            axes.plot(running_mean(values, window))
            axes.set(xlabel="episode", ylabel=f"{name}, mean of {window}")
        return figure


def running_mean(values: Sequence[float], window: int) -> Floats:
    """The mean of each value and up to `window` - 1 before it."""
    sums = np.concatenate(([0.0], np.cumsum(np.asarray(values, dtype=np.float64))))
    ends = np.arange(1, len(sums))
    begins = np.maximum(ends - window, 0)
    means: Floats = (sums[ends] - sums[begins]) / (ends - begins)
    return means


class Evaluation(tuple[float, float]):
    """(mean reward, share of successes), or (mean reward, standard deviation) where the environment names no success.

    An episode is a success when its reward reaches the threshold at which the environment counts as solved.
    """

    rewards: tuple[float, ...]
    """Of every episode, in order."""
    lengths: tuple[int, ...]
    """Steps of every episode."""
    success_rate: float | None
    """Share of episodes that reached the threshold; None without one."""

    def __new__(cls, rewards: Sequence[float], lengths: Sequence[int], *, success_at: float | None) -> Evaluation:
        """Of the episodes' rewards and lengths, in order."""
        success = None if success_at is None else float(np.mean([reward >= success_at for reward in rewards]))
        deviation = float(np.std(rewards))
        evaluation = super().__new__(cls, (float(np.mean(rewards)), deviation if success is None else success))
        evaluation.rewards, evaluation.lengths = tuple(rewards), tuple(lengths)
        evaluation.success_rate = success
        return evaluation

    @property
    def mean_reward(self) -> float:
        """Mean over all episodes."""
        return self[0]

    @property
    def std_reward(self) -> float:
        """Standard deviation over all episodes."""
        return float(np.std(self.rewards))
