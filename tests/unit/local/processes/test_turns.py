"""Processes of a stack work for longer before they make room for one another."""

import multiprocessing
import os
from multiprocessing.connection import Connection

import pytest

from lepton_ai.local.processes.turns import read_turn_ns, take_long_turns


def _tell_turns(answers: Connection) -> None:
    taken = take_long_turns()
    child = multiprocessing.get_context("fork").Process(target=lambda: answers.send((taken, read_turn_ns(0))))
    child.start()
    child.join(timeout=10)


def test_that_what_a_process_starts_takes_long_turns_too() -> None:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_tell_turns, args=(theirs,))
    process.start()
    taken, turn_ns = ours.recv()
    process.join(timeout=10)
    if not taken or turn_ns is None:
        pytest.skip("this kernel has no turns of a chosen length")
    assert turn_ns == 50_000_000


def test_that_others_are_left_as_they_were() -> None:
    assert read_turn_ns(os.getppid()) != 50_000_000
