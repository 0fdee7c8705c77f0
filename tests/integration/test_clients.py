"""`make clients`: clients for other programs from the contracts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def generate(out: Path, search_path: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "protos" / "clients.py"), str(out)]
    environment = {"PATH": search_path}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_python_client_can_be_imported_on_its_own(tmp_path: Path) -> None:
    done = generate(tmp_path, "")
    assert done.returncode == 0, done.stderr
    program = "from lepton_ai.v1 import inference_pb2_grpc as g; print(g.InferenceServiceStub.__name__, g.__file__)"
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'python')!r}); {program}"]
    imported = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert imported.stdout.startswith(f"InferenceServiceStub {tmp_path}"), imported.stderr


@pytest.mark.parametrize("language", ["go", "typescript"])
def test_a_missing_plug_in_is_named_with_how_to_install_it(tmp_path: Path, language: str) -> None:
    done = generate(tmp_path, str(tmp_path))
    assert f"{language}: skipped" in done.stdout
    assert "install" in done.stdout
