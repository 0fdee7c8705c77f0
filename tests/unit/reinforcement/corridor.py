"""An environment small enough to work out by hand: a corridor whose right end pays 1."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium import spaces

LEFT, RIGHT = 5, 6
FIRST = 10


class Corridor(gym.Env[Any, Any]):
    """States FIRST and up, actions LEFT and RIGHT: neither begins at 0, as Discrete spaces need not."""

    def __init__(self, length: int = 3) -> None:
        self.observation_space = spaces.Discrete(length, start=FIRST)
        self.action_space = spaces.Discrete(2, start=LEFT)
        self._last = FIRST + length - 1
        self._state = FIRST

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self._state = FIRST
        return self._state, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        assert action in (LEFT, RIGHT)
        self._state = min(max(self._state + (1 if action == RIGHT else -1), FIRST), self._last)
        arrived = self._state == self._last
        return self._state, float(arrived), arrived, False, {}
