"""The time line and the log records of the whole platform."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from lepton_ai.errors import DataLoss
from lepton_ai.local.processes.run_directory import RunDirectory
from lepton_ai.testing import eventually
from tests.platform import Platform
from tests.sample_packages import onnx_bytes, onnx_package

pytestmark = pytest.mark.e2e

NAME = "told"


async def shown(platform: Platform, *arguments: str) -> Any:
    """What a command prints as JSON."""
    done = await asyncio.to_thread(platform.lepton, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_a_deploy_is_an_event_with_its_actor(platform: Platform, tmp_path: Path) -> None:
    onnx_package(tmp_path / NAME, model=onnx_bytes(factor=3.0), name=NAME)
    async with platform.client() as client:
        await client.push(tmp_path / NAME)
        await client.deploy(NAME)
        await client.undeploy(NAME)

        async def told() -> bool:
            return len(await client.events(NAME)) == 3

        await eventually(told, timeout_s=20.0, description="push, deploy and undeploy are told")
    events = await shown(platform, "events", NAME)
    assert [event["kind"] for event in events] == ["push", "deploy", "undeploy"]
    assert all("@" in event["actor"] for event in events)
    listed = await asyncio.to_thread(platform.lepton, "events", NAME, "--since", "1h")
    assert f"{NAME} is served: version 1 is production  by " in listed.stdout
    joined = await shown(platform, "events", "--kind", "replica_joined")
    assert {"inference", "preprocess", "registry"} <= {event["labels"]["service"] for event in joined}


async def test_an_error_of_a_call_is_found_by_its_trace(platform: Platform, tmp_path: Path) -> None:
    onnx_package(tmp_path / NAME, model=onnx_bytes(factor=5.0), name="damaged")
    async with platform.client(trace_ratio=1.0) as client:
        await client.push(tmp_path / NAME)
        version = await client.version("damaged")
        sha256 = next(file.sha256 for file in version.manifest.files if file.path == "model.onnx")
        (blob,) = (RunDirectory(platform.home).data / "registry").rglob(f"*{sha256}*")
        content = blob.read_bytes()
        blob.unlink()
        try:
            with pytest.raises(DataLoss) as failure:
                await client.download("damaged", "model.onnx", tmp_path / "back.onnx")
        finally:
            blob.write_bytes(content)
        trace_id = failure.value.trace_id
        assert trace_id

        async def told() -> bool:
            return bool(await client.logs(trace_id=trace_id))

        await eventually(told, timeout_s=20.0, description="the registry's error is told")
    (record,) = await shown(platform, "logs", "--trace", trace_id)
    assert (record["service"], record["level"]) == ("registry", "ERROR")
    assert record["message"].startswith("lepton.v1.RegistryService/DownloadFile failed")
    grouped = await shown(platform, "logs", "registry", "--grouped")
    (template,) = [each for each in grouped if each["id"] == record["template_id"]]
    assert template["example"]["trace_id"] == trace_id
    printed = await asyncio.to_thread(platform.lepton, "logs", "--trace", trace_id)
    assert "ERROR registry" in printed.stdout
