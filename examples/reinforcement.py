"""Agents that learn by trying: trained, saved, loaded, packed, deployed, and then playing with the platform's answers.

    python -m examples.reinforcement               # about two minutes on one core; deploys when a stack runs
    python -m examples.reinforcement --small       # seconds: shows the way, not the result

FrozenLake and CliffWalking are learned by Q-learning and SARSA, CartPole by DQN.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console

from lepton_ai.client import Client
from lepton_ai.reinforcement import DQN, Agent, Evaluation, QLearning, Sarsa

out = Console(highlight=False)

POLE_WIDTH = 64
_SERVED_STEPS = 500


@dataclass(frozen=True)
class Lesson:
    """One agent, how long it learns and how it is examined."""

    name: str
    make: Callable[[], Agent]
    train: Callable[[Agent], object]
    episodes: int


def lessons(*, small: bool) -> list[Lesson]:
    """All of them; `small` for a look at the way, without the result."""
    crossings, walks, examined = (1_500, 100, 50) if small else (10_000, 500, 1_000)

    def practise(episodes: int) -> Callable[[Any], object]:
        return lambda agent: agent.fit(episodes, seed=0)

    def balance(agent: Any) -> object:
        return agent.fit(steps=2_000 if small else 50_000, seed=0, stop_at=500.0)

    return [
        Lesson("lake-q", lambda: QLearning("FrozenLake-v1", is_slippery=True), practise(crossings), examined),
        Lesson("lake-sarsa", lambda: Sarsa("FrozenLake-v1", is_slippery=True), practise(crossings), examined),
        Lesson("cliff-q", lambda: QLearning("CliffWalking-v1", epsilon=0.1), practise(walks), 20),
        Lesson("cliff-sarsa", lambda: Sarsa("CliffWalking-v1", epsilon=0.1), practise(walks), 20),
        Lesson("pole", lambda: DQN("CartPole-v1", hidden=(POLE_WIDTH,) if small else (256, 256)), balance, 20),
    ]


def learn(lesson: Lesson, directory: Path) -> tuple[Agent, Evaluation, float]:
    """Train, save and load an agent: what is loaded, how well it does on fresh episodes, and the CPU seconds taken."""
    agent = lesson.make()
    before_s = time.process_time()
    lesson.train(agent)
    took_s = time.process_time() - before_s
    agent.save(directory / f"{lesson.name}.agent")
    loaded = Agent.load(directory / f"{lesson.name}.agent")
    return loaded, loaded.evaluate(lesson.episodes, seed=1_000), took_s


def deploy(client: Client, lesson: Lesson, agent: Agent, directory: Path) -> None:
    """Pack the agent and serve it under the lesson's name."""
    agent.package(directory / lesson.name, name=lesson.name)
    version = client.push(directory / lesson.name)
    client.deploy(f"{lesson.name}@{version.version}")


def play(client: Client, lesson: Lesson, agent: Agent) -> float:
    """One episode in which the platform chooses every action; its reward. A served answer that differs is an error."""
    environment = agent.environment
    observation, _ = environment.reset(seed=7)
    total = 0.0
    for _ in range(_SERVED_STEPS):
        served = client.predict(lesson.name, np.asarray(observation)).labels[0]
        if served.index + agent.actions.start != agent.predict(observation):
            raise SystemExit(f"{lesson.name}: the platform chose {served.name}, the agent would not")
        observation, reward, terminated, truncated, _ = environment.step(agent.predict(observation))
        total += float(reward)
        if terminated or truncated:
            break
    return total


def connect() -> Client | None:
    """A client of the stack that runs here, if one does."""
    client = Client()
    if client.addresses.registry:
        return client
    client.close()
    return None


@click.command()
@click.option("--small", is_flag=True, help="Seconds instead of minutes: shows the way, not the result.")
@click.option("--out", "directory", type=click.Path(file_okay=False, path_type=Path), default=Path("agents"))
def main(*, small: bool, directory: Path) -> None:
    """Train all agents into DIRECTORY; deploy and play them when a stack runs."""
    client = connect()
    if client is None:
        out.print("No stack runs here, so nothing is deployed: `lepton up` starts one.")
    for lesson in lessons(small=small):
        agent, evaluation, took_s = learn(lesson, directory)
        mean, other = evaluation
        what = "std" if evaluation.success_rate is None else "success"
        line = f"{lesson.name:12} {agent.title:28} mean reward {mean:8.2f}, {what} {other:.3f}, {took_s:.1f} s of CPU"
        if client is not None:
            deploy(client, lesson, agent, directory / "packages")
            line += f"; served: reward {play(client, lesson, agent):g}"
        out.print(line)
    if client is not None:
        client.close()


if __name__ == "__main__":
    main()
