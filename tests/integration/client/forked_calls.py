"""Clients over forks, in a process of its own: `python -m … SCENARIO ADDRESS FOLDER` prints what came of it as JSON.

FOLDER holds a picture, photo.png, which the model at ADDRESS knows.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import lepton_ai as la
from lepton_ai.client import forking

ADDRESSES = la.Addresses(inference=sys.argv[2])
LIMIT_S = 60


def make() -> la.Client:
    return la.Client(ADDRESSES, timeout_s=20)


CLIENT: la.Client


def ask(times: int = 1) -> list[str]:
    return sorted({CLIENT.predict("colours", Path("photo.png")).labels[0].name for _ in range(times)})


def ask_with_own(_: int = 0) -> list[str]:
    with make() as own:
        return [own.predict("colours", "photo.png").labels[0].name]


def ask_async(_: int = 0) -> str:
    async def calls() -> str:
        async with la.AsyncClient(ADDRESSES, timeout_s=5) as client:
            return (await client.predict("colours", "photo.png")).labels[0].name

    answer: str = told(lambda: asyncio.run(calls()))
    return answer


def told(work: Callable[[], Any]) -> Any:
    """What it gives, or which error it raises."""
    try:
        return work()
    except la.LeptonError as error:
        return f"{type(error).__name__} {error.reason}: {error}"


def in_child(work: Callable[[], Any], *, leave: Callable[[], object] = lambda: os._exit(0)) -> Any:
    """What `work` gives in a forked child, and how the child ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(LIMIT_S)  # ends a child that hangs
        os.write(writing, json.dumps(told(work)).encode())
        os.close(writing)
        leave()
    os.close(writing)
    with os.fdopen(reading) as file:
        text = file.read()
    status = os.waitpid(child, 0)[1]
    return json.loads(text) if text and not status else f"child ended with {status}: {text}"


def nested() -> list[Any]:
    return [ask(), in_child(ask), ask()]


def engine_process_killed() -> list[Any]:
    before = ask()
    os.kill(CLIENT._engine._process.pid, signal.SIGKILL)  # type: ignore[union-attr] # the engine of a forked process
    return [before, told(ask), ask()]


def bad_input() -> list[Any]:
    values: list[Any] = [Path("nosuch.png"), b"broken", threading.Lock()]
    return [told(partial(CLIENT.predict, "colours", value)) for value in values]


def elsewhere() -> list[str]:
    before = ask()
    Path("below").mkdir(exist_ok=True)
    os.chdir("below")
    return [*before, CLIENT.predict("colours", "../photo.png").labels[0].name]


def prefork() -> list[Any]:
    """Four children at once while the parent goes on calling in a thread."""
    ending = threading.Event()
    seen: list[Any] = []

    def go_on() -> None:
        while not ending.is_set():
            seen.append(told(ask))

    busy = threading.Thread(target=go_on)
    busy.start()
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    children = [fork.Process(target=lambda: answers.put(told(lambda: ask(20)))) for _ in range(4)]
    for child in children:
        child.start()
    got = [answers.get(timeout=LIMIT_S) for _ in children]
    for child in children:
        child.join(LIMIT_S)
    ending.set()
    busy.join()
    return [got, [child.exitcode for child in children], [each for each in seen if each != seen[0]]]


def pool(method: str, work: Callable[[int], Any]) -> list[Any]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as executor:
        return list(executor.map(work, range(4)))


SCENARIOS: dict[str, Callable[[], Any]] = {
    "inherited": lambda: in_child(lambda: ask(20)),
    "inherited, left by exit": lambda: in_child(ask, leave=sys.exit),
    "never used in the child": lambda: in_child(lambda: "nothing", leave=sys.exit),
    "closed in the child": lambda: in_child(lambda: CLIENT.close(), leave=sys.exit),
    "made in the child": lambda: in_child(ask_with_own),
    "asyncio in the child": lambda: in_child(ask_async),
    "child of a child": lambda: in_child(nested),
    "engine process killed": lambda: in_child(engine_process_killed),
    "bad input": lambda: in_child(bad_input),
    "another directory": lambda: in_child(elsewhere),
    "prefork": prefork,
    "pool by fork": lambda: pool("fork", ask_with_own),
    "pool by spawn": lambda: pool("spawn", ask_with_own),
}


def closed_before() -> list[Any]:
    """Where nothing of gRPC is left, a child needs no help, asyncio included."""
    CLIENT.close()
    pause = threading.Event()
    while forking._grpc_runs():  # gRPC ends its threads after the last channel, in its own time
        pause.wait(0.02)
    return [in_child(ask_with_own), in_child(ask_async)]


def main() -> None:
    global CLIENT
    os.chdir(sys.argv[3])
    CLIENT = make()
    scenario = sys.argv[1]
    before = ask()
    outcome = closed_before() if scenario == "all closed before" else SCENARIOS[scenario]()
    after = before if scenario == "all closed before" else ask(5)
    sys.stdout.write(json.dumps({"outcome": outcome, "parent": [before, after]}))


if __name__ == "__main__":
    main()
