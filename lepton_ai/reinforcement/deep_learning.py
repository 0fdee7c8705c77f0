"""Runs stable-baselines3's DQN: its settings under our names, a budget, checks that keep the best network."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import stable_baselines3
import torch
from stable_baselines3.common.callbacks import BaseCallback
from torch import nn

from lepton_ai.reinforcement.agent import evaluate
from lepton_ai.reinforcement.environment import Env
from lepton_ai.reinforcement.history import History
from lepton_ai.reinforcement.policy import NetworkPolicy
from lepton_ai.reinforcement.progress import Advance
from lepton_ai.reinforcement.schedules import Schedule, read_rate

_ENDLESS = 1 << 40
"""Steps that stable-baselines3 is asked for; the watch ends it."""
_CHECK_SEED = 1_000_003
_REPORT_STEPS = 200


@dataclass(frozen=True)
class Budget:
    """How long to train: one of the two is set."""

    episodes: int | None
    steps: int | None

    def share(self, episodes: int, steps: int) -> float:
        """How much of it is used up; 1 and more: all."""
        if self.steps is not None:
            return steps / self.steps
        return episodes / (self.episodes or 1)


@dataclass(frozen=True)
class Checks:
    """When to play without exploring, for how long, and which mean reward ends the training."""

    every_steps: int
    episodes: int
    stop_at: float | None


class Watch(BaseCallback):
    """Follows the training step by step: records episodes, keeps the best network, says when it is over."""

    def __init__(self, budget: Budget, checks: Checks, check_environment: Env, advance: Advance) -> None:
        """`check_environment` is for the checks alone; `advance` is told how far training is."""
        super().__init__()
        self.history = History()
        self.best: tuple[float, nn.Sequential] | None = None
        self.share = 0.0
        self._budget = budget
        self._checks = checks
        self._environment = check_environment
        self._advance = advance

    def network(self) -> nn.Sequential:
        """A copy of the network as it is now."""
        learner = self.model
        assert isinstance(learner, stable_baselines3.DQN)  # noqa: S101 - we made it
        return copy.deepcopy(learner.q_net.q_net).cpu().eval().requires_grad_(False)

    def check(self) -> float:
        """Play without exploring; remember the network when it did better than any before."""
        network = self.network()
        policy = NetworkPolicy(network, self._environment.observation_space.shape or ())

        def act(observation: Any) -> int:
            return int(policy.action_values(observation[np.newaxis])[0].argmax())

        # The same episodes every time, so that checks can be compared.
        reward = evaluate(act, self._environment, self._checks.episodes, seed=_CHECK_SEED).mean_reward
        if self.best is None or reward >= self.best[0]:
            self.best = (reward, network)
        return reward

    def _on_step(self) -> bool:
        finished = self.locals["infos"][0].get("episode")
        if finished is not None:
            self.history.record(float(finished["r"]), int(finished["l"]), float(self.locals["self"].exploration_rate))
        self.share = self._budget.share(len(self.history), self.n_calls)
        if self.n_calls % _REPORT_STEPS == 0:
            self._advance(self.share, f"reward {self.history.mean_reward():.3g}")
        return self.share < 1 and not self._reached()

    def _reached(self) -> bool:
        if not self._checks.every_steps or self.n_calls % self._checks.every_steps:
            return False
        reward = self.check()
        return self._checks.stop_at is not None and reward >= self._checks.stop_at


def learn(
    environment: Env,
    settings: Mapping[str, Any],
    start: nn.Sequential | None,
    *,
    budget: Budget,
    checks: Checks,
    seed: int,
    advance: Advance,
) -> tuple[nn.Sequential, History]:
    """Train from `start`, or anew; the best network that a check saw, or the last one without checks."""
    with undisturbed():
        watch = Watch(budget, checks, copy.deepcopy(environment), advance)
        learner = _make_learner(environment, settings, watch, seed)
        if start is not None:
            learner.q_net.q_net.load_state_dict(start.state_dict())
            learner.q_net_target.load_state_dict(learner.q_net.state_dict())
        learner.learn(_ENDLESS, callback=watch, log_interval=_ENDLESS)
        if checks.every_steps and watch.n_calls % checks.every_steps:
            watch.check()
        return watch.best[1] if watch.best else watch.network(), watch.history


def _make_learner(environment: Env, settings: Mapping[str, Any], watch: Watch, seed: int) -> stable_baselines3.DQN:
    learner = stable_baselines3.DQN(
        "MlpPolicy",
        environment,
        gamma=settings["gamma"],
        learning_rate=_following(read_rate(settings["learning_rate"], field="learning_rate"), watch),
        batch_size=settings["batch_size"],
        buffer_size=settings["memory_steps"],
        learning_starts=settings["warmup_steps"],
        train_freq=settings["learn_every_steps"],
        gradient_steps=settings["updates"],
        target_update_interval=settings["target_every_steps"],
        policy_kwargs={"net_arch": list(settings["hidden"])},
        device="cpu",
        seed=seed,
    )
    # Its own schedule knows steps only, and a budget may be episodes.
    learner.exploration_schedule = _following(read_rate(settings["epsilon"], field="epsilon"), watch)
    return learner


def _following(schedule: Schedule, watch: Watch) -> Any:
    """The schedule as stable-baselines3 wants it; what is left of its endless steps says nothing."""
    return lambda _remaining: schedule(watch.share)


@contextmanager
def undisturbed() -> Iterator[None]:
    """One thread, faster for networks this small; afterwards the global random generators are as they were before."""
    threads = torch.get_num_threads()
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
