"""Generates lepton_ai/v1 from protos/ whenever the package is built or installed, editable installs included."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def generate(root: Path) -> list[Path]:
    """Compile every contract under `root`/protos into `root`/lepton_ai/v1 and return the files made.

    Raises SystemExit with protoc's own message when a contract does not compile.
    """
    import grpc_tools
    from grpc_tools import protoc

    protos = sorted((root / "protos").rglob("*.proto"))
    includes = [root / "protos", Path(grpc_tools.__file__).parent / "_proto", _googleapis()]
    outputs = ("python", "grpc_python", "mypy", "mypy_grpc")
    arguments = ["protoc", *(f"-I{path}" for path in includes), *(f"--{out}_out={root}" for out in outputs)]
    # The plug-ins lie beside the interpreter, which need not be on PATH.
    arguments += [f"--plugin=protoc-gen-{name}={_script(f'protoc-gen-{name}')}" for name in ("mypy", "mypy_grpc")]
    if protoc.main([*arguments, *map(str, protos)]) != 0:
        raise SystemExit("protoc failed: see the message above")
    package = root / "lepton_ai" / "v1"
    (package / "__init__.py").touch()
    return sorted(package.glob("*_pb2*"))


def _googleapis() -> Path:
    import google.rpc.status_pb2 as status_pb2

    return Path(str(status_pb2.__file__)).parents[2]


def _script(name: str) -> str:
    import shutil

    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is missing: pip install mypy-protobuf")
    return found


class ProtoBuildHook(BuildHookInterface[Any]):
    """Hatch calls this before it collects the files of the package."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        if (root / "protos").is_dir():  # an sdist carries the generated files already
            generate(root)
        build_data["artifacts"].append("lepton_ai/v1/*_pb2*")


if __name__ == "__main__":
    for path in generate(Path(__file__).parent):
        print(path.relative_to(Path(__file__).parent))
