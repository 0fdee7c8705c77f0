"""From a key to a verified version, its trail and its backup: by the command line, with a registry in a process."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.registry.process import registry_process
from tests.receiver import receiving
from tests.sample_packages import onnx_package


class Lepton:
    """`lepton` in a process, for one registry."""

    def __init__(self, directory: Path, address: str, token: str = "") -> None:
        self.directory = directory
        self.environment = {"LEPTON_REGISTRY_ADDRESS": address, "LEPTON_ACTOR": "王小明", "PYTHONPATH": str(Path.cwd())}
        if token:
            self.environment["LEPTON_TOKEN"] = token

    async def run(self, *words: str, code: int = 0, key: str = "") -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "lepton_ai.cli",
            *words,
            cwd=self.directory,
            env=self.environment | ({"LEPTON_SIGNING_KEY": key} if key else {}),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, error = await process.communicate()
        assert process.returncode == code, error.decode()
        return out.decode() if code == 0 else out.decode() + error.decode()

    async def json(self, *words: str, key: str = "") -> Any:
        return json.loads(await self.run(*words, "--json", key=key))


@pytest.mark.timeout(300)
async def test_a_signed_version_by_the_command_line(tmp_path: Path) -> None:
    onnx_package(tmp_path / "package")
    offline = Lepton(tmp_path, "127.0.0.1:1")
    await offline.run("keys", "create", "release.key")
    await offline.run("keys", "create", "other.key", "--curve", "P-384")
    assert "keys are not replaced" in await offline.run("keys", "create", "release.key", code=1)
    token = (await offline.run("tokens", "create", "alice", "tokens")).strip()
    assert json.loads(await offline.run("tokens", "list", "tokens", "--json")) == ["alice"]
    settings = {"tokens_file": str(tmp_path / "tokens"), "signatures": "require"}
    settings["signature_keys"] = str(tmp_path / "release.key.pub")
    async with registry_process(tmp_path / "data", **settings) as process:
        lepton = Lepton(tmp_path, process.address, token)
        assert "not trusted" in await lepton.run("push", "package", "--sign", "other.key", code=1)
        assert (await lepton.json("push", "package", key="release.key"))["version"] == 1
        assert "is signed by key " in await lepton.run("verify", "doubler@1", "--keys", "release.key.pub")
        assert "not trusted" in await lepton.run("verify", "doubler", "--keys", "other.key.pub", code=1)
        signed = await lepton.json("sign", "doubler@1", "package", "--key", "release.key")
        assert signed["verified"] is True
        assert [entry["action"] for entry in await lepton.json("audit")] == ["sign", "sign", "push"]
        assert {entry["actor"].split()[0] for entry in await lepton.json("audit")} == {"token:alice"}
        anchor = (await lepton.run("audit", "verify")).strip()
        assert (await lepton.json("audit", "verify", "--anchor", anchor))["ok"] is True
        assert (await lepton.json("registry", "backup", "backup"))["files"] == 2
        assert "not empty" in await lepton.run("registry", "restore", "backup", code=1)
        async with receiving() as receiver:
            created = await lepton.json("webhooks", "create", receiver.url, "--event", "model_version.signed")
            assert await lepton.run("webhooks", "test", str(created["id"]))
            assert receiver.received[0].is_signed_with(created["secret"])
        assert created["secret"] not in await lepton.run("webhooks", "list")
        assert await lepton.json("webhooks", "deliveries", str(created["id"])) == []
        await lepton.run("webhooks", "delete", str(created["id"]))
        await offline.run("tokens", "delete", "alice", "tokens")
        assert "LEPTON_TOKEN" in await lepton.run("audit", code=1)
    async with registry_process(tmp_path / "restored") as process:
        lepton = Lepton(tmp_path, process.address)
        assert "1 models are back" in await lepton.run("registry", "restore", "backup")
        (newest, *_) = await lepton.json("audit", "--actor", "王小明")
        assert newest["action"] == "restore_backup"
        assert "is signed by key " in await lepton.run("verify", "doubler@1", "--keys", "release.key.pub")
