"""Containers or processes: what is up wins, then what is asked for, then what the machine has."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_ai.errors import FailedPrecondition, Unavailable
from lepton_ai.local.containers.engine import Engine
from lepton_ai.local.containers.mode import Wanted, choose_mode, find_deploy
from lepton_ai.local.stack import Mode

DEPLOY = Path("deploy")
ENGINE = Engine("20.10.24", ("docker", "compose"))


def found() -> Engine:
    return ENGINE


def absent() -> Engine:
    raise Unavailable("No Docker engine answers.", reason="NO_ENGINE", fix="Start it.")


def not_asked() -> Engine:
    raise AssertionError("the engine need not be asked")


def test_an_engine_that_answers_means_containers() -> None:
    choice = choose_mode("auto", None, deploy=DEPLOY, find=found)
    assert (choice.mode, choice.engine) == ("docker", ENGINE)
    assert "20.10.24" in choice.why


def test_without_an_engine_it_says_so_and_runs_processes() -> None:
    choice = choose_mode("auto", None, deploy=DEPLOY, find=absent)
    assert choice.mode == "local"
    assert choice.why == "No Docker engine answers, so the platform runs as local processes."


def test_without_a_checkout_it_runs_processes() -> None:
    assert choose_mode("auto", None, deploy=None, find=not_asked).mode == "local"


@pytest.mark.parametrize("wanted", ["auto", "local"])
def test_local_processes_that_are_up_stay(wanted: Wanted) -> None:
    assert choose_mode(wanted, "local", deploy=DEPLOY, find=not_asked).mode == "local"


@pytest.mark.parametrize("wanted", ["auto", "docker"])
def test_containers_that_are_up_stay(wanted: Wanted) -> None:
    assert choose_mode(wanted, "docker", deploy=DEPLOY, find=found).engine is ENGINE


def test_asked_for_processes_no_engine_is_looked_for() -> None:
    assert choose_mode("local", None, deploy=DEPLOY, find=not_asked).why == ""


def test_asked_for_containers_an_absent_engine_is_an_error() -> None:
    with pytest.raises(Unavailable, match="No Docker engine answers"):
        choose_mode("docker", None, deploy=DEPLOY, find=absent)


def test_asked_for_containers_missing_files_are_an_error() -> None:
    with pytest.raises(FailedPrecondition, match="Compose files"):
        choose_mode("docker", None, deploy=None, find=found)


@pytest.mark.parametrize(("wanted", "up"), [("local", "docker"), ("docker", "local")])
def test_both_at_once_are_refused(wanted: Wanted, up: Mode) -> None:
    with pytest.raises(FailedPrecondition, match=f"up in {up} mode"):
        choose_mode(wanted, up, deploy=DEPLOY, find=found)


def test_this_checkout_has_its_compose_files() -> None:
    deploy = find_deploy()
    assert deploy is not None
    assert (deploy / "Dockerfile").is_file()
