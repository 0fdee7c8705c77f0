"""What is kept of training and evaluation."""

from __future__ import annotations

import math

import pytest

from lepton_ai.reinforcement import Evaluation, History, QLearning
from lepton_ai.reinforcement.history import running_mean


def test_the_running_mean_covers_what_there_is_so_far() -> None:
    assert running_mean([1, 2, 3, 4], window=2).tolist() == [1.0, 1.5, 2.5, 3.5]
    assert running_mean([], window=2).tolist() == []


def test_history_is_drawn() -> None:
    history = History([1.0, 2.0], [3, 4], [0.1, 0.1])
    figure = history.plot(window=1)
    assert figure.axes[0].lines[0].get_ydata().tolist() == [1.0, 2.0]  # type: ignore[union-attr]
    assert figure.axes[1].lines[0].get_ydata().tolist() == [3.0, 4.0]  # type: ignore[union-attr]


def test_the_mean_before_the_first_episode_is_no_number() -> None:
    assert math.isnan(History().mean_reward())


def test_an_evaluation_is_a_pair_with_the_share_of_successes() -> None:
    evaluation = Evaluation([1.0, 0.0, 1.0, 1.0], [5, 6, 7, 8], success_at=1.0)
    mean_reward, success_rate = evaluation
    assert (mean_reward, success_rate) == (0.75, 0.75)
    assert evaluation.lengths == (5, 6, 7, 8)


def test_without_a_threshold_it_is_mean_and_deviation() -> None:
    evaluation = Evaluation([1.0, 3.0], [1, 1], success_at=None)
    assert tuple(evaluation) == (2.0, 1.0)
    assert evaluation.success_rate is None
    assert evaluation.std_reward == 1.0


def test_a_bar_is_shown_when_asked_for_and_not_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    agent = QLearning("FrozenLake-v1")
    agent.fit(10)
    assert capsys.readouterr() == ("", "")
    agent.fit(10, progress=True)
    out, error = capsys.readouterr()
    assert out == ""
    assert "QLearning on FrozenLake-v1" in error
