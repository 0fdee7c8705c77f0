"""What the docker command's answers mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from lepton_ai.errors import DeadlineExceeded, InternalError, LeptonError, Unavailable
from lepton_ai.local.containers.engine import Engine, find_engine
from lepton_ai.local.programs.running import Finished, run_program, stream_program

VERSION = Finished(0, "20.10.24\n")


class FakeRun:
    """Answers command lines by how they begin; what it does not know is not installed."""

    def __init__(self, **answers: Finished | LeptonError) -> None:
        self._answers = {name.replace("_", " ").replace("dash ", "-"): answer for name, answer in answers.items()}
        self.commands: list[Sequence[str]] = []

    def __call__(
        self, command: Sequence[str], *, timeout_s: float, environment: Mapping[str, str] | None = None
    ) -> Finished:
        self.commands.append(command)
        line = " ".join(command)
        for beginning, answer in self._answers.items():
            if line.startswith(beginning):
                if isinstance(answer, LeptonError):
                    raise answer
                return answer
        raise Unavailable(f"There is no {command[0]} command here.")


def test_compose_2_is_preferred() -> None:
    engine = find_engine(FakeRun(docker_info=VERSION, docker_compose=Finished(0, "v2")))
    assert (engine.version, engine.compose) == ("20.10.24", ("docker", "compose"))


def test_compose_1_does_as_well() -> None:
    run = FakeRun(docker_info=VERSION, docker_compose=Finished(1, "", "unknown command"))
    run._answers["docker-compose"] = Finished(0, "1.29.2")
    assert find_engine(run).compose == ("docker-compose",)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Finished(1, "", "Cannot connect to the Docker daemon"), "No Docker engine answers"),
        (Finished(1, "", "permission denied while trying to connect"), "may not use the Docker engine"),
        (Finished(0, "\n"), "No Docker engine answers"),
        (Unavailable("no such file"), "no docker command"),
        (DeadlineExceeded("late"), "does not answer within 3 s"),
    ],
)
def test_what_is_missing_is_said(answer: Finished | LeptonError, message: str) -> None:
    with pytest.raises(Unavailable, match=message) as raised:
        find_engine(FakeRun(docker_info=answer))
    assert raised.value.fix


def test_an_engine_without_compose_is_not_enough() -> None:
    with pytest.raises(Unavailable, match="no Docker Compose"):
        find_engine(FakeRun(docker_info=VERSION))


@pytest.mark.parametrize(("returncode", "native"), [(0, True), (1, False)])
def test_an_image_is_asked_for_its_backends(returncode: int, native: bool) -> None:
    assert Engine("20", (), FakeRun(docker_run=Finished(returncode, ""))).runs_onnx_natively("triton") is native


def test_an_image_that_cannot_be_asked_is_an_error() -> None:
    with pytest.raises(InternalError, match="no space"):
        Engine("20", (), FakeRun(docker_run=Finished(125, "", "docker: no space left"))).runs_onnx_natively("triton")


def test_a_project_without_containers_is_empty() -> None:
    run = FakeRun(docker_ps=Finished(0, ""))
    assert Engine("20", (), run).inspect_project("lepton") == []
    assert len(run.commands) == 1


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(Unavailable, match="no-such-program"):
        run_program(["no-such-program"], timeout_s=1)


def test_a_program_that_takes_too_long_is_ended() -> None:
    with pytest.raises(DeadlineExceeded):
        run_program(["sleep", "30"], timeout_s=0.05)


def test_lines_are_handed_on_and_kept(tmp_path: Path) -> None:
    lines: list[str] = []
    script = r"printf '\033[1mStep 1\033[0m\n\nStep 2\n'; exit 3"
    done = stream_program(
        ["sh", "-c", script], timeout_s=10, environment={}, log=tmp_path / "日志" / "x.log", on_line=lines.append
    )
    assert (done.returncode, lines, done.output) == (3, ["Step 1", "Step 2"], "Step 1\nStep 2")
    assert "Step 2" in (tmp_path / "日志" / "x.log").read_text(encoding="utf-8")


def test_a_streamed_program_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(DeadlineExceeded):
        stream_program(
            ["sleep", "30"], timeout_s=0.05, environment={}, log=tmp_path / "x.log", on_line=lambda _line: None
        )
