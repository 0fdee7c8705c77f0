"""Generates clients for other programs from the contracts: `make clients`, into clients/LANGUAGE or where told.

Python needs nothing more. Go and TypeScript need their protoc plug-in, on PATH or under node_modules/.bin; what is
missing is named, with how to install it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import google.rpc.status_pb2 as googleapis
import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Language:
    """What protoc is asked for."""

    name: str
    outputs: tuple[str, ...]
    """Arguments; {out} is the target directory."""
    plugins: Mapping[str, str] = field(default_factory=dict)
    """Program that must be found → how to install it."""


LANGUAGES = (
    Language("python", ("--python_out={out}", "--pyi_out={out}", "--grpc_python_out={out}")),
    Language(
        "go",
        (
            "--go_out={out}",
            "--go_opt=module=github.com/lepton-serving/lepton/clients/go",
            "--go-grpc_out={out}",
            "--go-grpc_opt=module=github.com/lepton-serving/lepton/clients/go",
        ),
        {
            "protoc-gen-go": "go install google.golang.org/protobuf/cmd/protoc-gen-go@latest",
            "protoc-gen-go-grpc": "go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@latest",
        },
    ),
    Language(
        "typescript",
        ("--ts_proto_out={out}", "--ts_proto_opt=outputServices=grpc-js,esModuleInterop=true,forceLong=bigint"),
        {"protoc-gen-ts_proto": "npm install ts-proto"},
    ),
)


def main() -> int:
    """Generate what can be generated; 0 also when plug-ins are missing, 1 when protoc fails."""
    search_path = os.pathsep.join([str(ROOT / "node_modules" / ".bin"), os.environ.get("PATH", "")])
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "clients"
    results = [_generate(language, search_path, target / language.name) for language in LANGUAGES]
    return 0 if all(results) else 1


def _generate(language: Language, search_path: str, out: Path) -> bool:
    found = {program: shutil.which(program, path=search_path) for program in language.plugins}
    missing = [program for program, path in found.items() if path is None]
    if missing:
        for program in missing:
            print(f"{language.name}: skipped, {program} is missing. Install it: {language.plugins[program]}")
        return True
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    includes = (ROOT / "protos", Path(grpc_tools.__file__).parent / "_proto", Path(googleapis.__file__).parents[2])
    arguments = ["protoc", *(f"-I{path}" for path in includes)]
    arguments += [f"--plugin={program}={path}" for program, path in found.items()]
    arguments += [argument.format(out=out) for argument in language.outputs]
    arguments += [str(path) for path in sorted((ROOT / "protos").rglob("*.proto"))]
    if protoc.main(arguments) != 0:
        return False
    if language.name == "python":  # a package of its own, not a part of an SDK that may be installed as well
        for folder in (out / "lepton_ai", out / "lepton_ai" / "v1"):
            (folder / "__init__.py").touch()
    files = sum(path.is_file() for path in out.rglob("*"))
    print(f"{language.name}: {files} files in {out}")
    return True


if __name__ == "__main__":
    sys.exit(main())
