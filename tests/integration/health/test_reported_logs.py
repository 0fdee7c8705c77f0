"""Log records of a real process reach a real health service through etcd, and survive whatever happens to either."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from lepton_ai.credentials import token_metadata
from lepton_ai.local.programs.etcd import LocalEtcd, running_etcd
from lepton_ai.testing import eventually
from lepton_ai.v1 import events_pb2 as pb
from lepton_ai.v1 import feedback_pb2
from lepton_ai.v1.events_pb2_grpc import EventServiceStub
from lepton_ai.v1.feedback_pb2_grpc import FeedbackServiceStub
from tests.integration.mesh.echo import EchoStub
from tests.service_process import ROOT, service_process

TOKEN = "open-sesame"


@pytest.fixture
async def etcd(tmp_path: Path) -> AsyncIterator[LocalEtcd]:
    async with running_etcd(tmp_path / "etcd") as running:
        yield running


@asynccontextmanager
async def health_process(
    etcd: LocalEtcd, data_dir: Path, *, token: str = ""
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    settings = {"LEPTON_ETCD_ADDRESS": etcd.address, "LEPTON_DATA_DIR": str(data_dir), "LEPTON_TOKEN": token}
    settings["LEPTON_LOG_FILES"] = json.dumps({"etcd": str(data_dir.with_name("said.log"))})
    async with service_process("health", **settings) as (process, address):
        yield process, address


@asynccontextmanager
async def noisy_process(etcd: LocalEtcd, *, token: str = "") -> AsyncIterator[EchoStub]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.integration.health.noisy_process"),
        cwd=ROOT,
        env={
            "LEPTON_ETCD_ADDRESS": etcd.address,
            "LEPTON_PROPAGATION_S": "0",
            "LEPTON_TOKEN": token,
            "PATH": "/usr/bin:/bin",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            address = (await process.stdout.readline()).decode().split()[1]
        async with grpc.aio.insecure_channel(address) as channel:
            yield EchoStub(channel)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def say(noisy: EchoStub, text: str) -> str:
    """Have it warn in a call; returns the id of the call's trace."""
    trace_id = secrets.token_hex(16)
    traceparent = ("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-00")
    await noisy.UnaryUnary(StringValue(value=text), timeout=10, wait_for_ready=True, metadata=(traceparent,))
    return trace_id


async def heard(address: str, *, token: str = "", **wanted: object) -> list[pb.LogRecord]:
    """What the noisy process told, the oldest first."""
    request = pb.ListLogsRequest(service="noisy", **wanted)  # type: ignore[arg-type]
    async with grpc.aio.insecure_channel(address) as channel:
        shown = token_metadata(token)
        answer = await EventServiceStub(channel).ListLogs(request, timeout=5, wait_for_ready=True, metadata=shown)
    return list(answer.records)[::-1]


async def until_heard(address: str, *texts: str, token: str = "") -> None:
    async def all_heard() -> bool:
        return [record.fields["text"] for record in await heard(address, token=token)] == list(texts)

    await eventually(all_heard, timeout_s=30, description=f"health has heard of {', '.join(texts)}, once each")


async def test_a_warning_of_a_call_is_found_by_the_calls_trace(etcd: LocalEtcd, tmp_path: Path) -> None:
    async with health_process(etcd, tmp_path / "health") as (_, address), noisy_process(etcd) as noisy:
        await say(noisy, "other")
        trace_id = await say(noisy, "猫")
        await until_heard(address, "other", "猫")
        (record,) = await heard(address, trace_id=trace_id)
        assert (record.message, record.logger, record.level) == ("heard 猫", "lepton.noisy", pb.LOG_LEVEL_WARNING)
        async with grpc.aio.insecure_channel(address) as channel:
            listed = await EventServiceStub(channel).ListTemplates(pb.ListTemplatesRequest(service="noisy"), timeout=5)
        assert sum(template.count for template in listed.templates) == 2


async def test_nothing_is_lost_or_doubled_when_health_is_killed_and_comes_back(etcd: LocalEtcd, tmp_path: Path) -> None:
    async with noisy_process(etcd) as noisy:
        async with health_process(etcd, tmp_path / "health") as (process, address):
            await say(noisy, "before")
            await until_heard(address, "before")
            process.kill()
            await process.wait()
        await say(noisy, "while it is away")
        await say(noisy, "while it is away, again")
        async with health_process(etcd, tmp_path / "health") as (_, address):
            await say(noisy, "after")
            await until_heard(address, "before", "while it is away", "while it is away, again", "after")


async def test_what_a_process_says_last_is_heard(etcd: LocalEtcd, tmp_path: Path) -> None:
    async with health_process(etcd, tmp_path / "health") as (_, address):
        async with noisy_process(etcd) as noisy:
            await say(noisy, "the end")
        await until_heard(address, "the end")


async def test_where_there_is_a_token_only_processes_that_show_it_are_heard(etcd: LocalEtcd, tmp_path: Path) -> None:
    async with health_process(etcd, tmp_path / "health", token=TOKEN) as (_, address):
        async with grpc.aio.insecure_channel(address) as channel:
            events, feedback = EventServiceStub(channel), FeedbackServiceStub(channel)
            strange: list[Callable[[], Any]] = [
                lambda: events.ReportLogs(pb.ReportLogsRequest(process="a"), timeout=5, wait_for_ready=True),
                lambda: feedback.RememberPredictions(feedback_pb2.RememberPredictionsRequest(), timeout=5),
                lambda: feedback.KeepInputs(feedback_pb2.KeepInputsRequest(), timeout=5),
            ]
            for call in strange:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await call()
                assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        async with noisy_process(etcd, token=TOKEN) as noisy:
            await say(noisy, "one of ours")
            await until_heard(address, "one of ours", token=TOKEN)


async def test_what_etcd_writes_into_its_log_file_is_heard(etcd: LocalEtcd, tmp_path: Path) -> None:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = {"level": "warn", "ts": at, "caller": "wal/wal.go:802", "msg": "slow fdatasync", "took": "1.4s"}
    async with health_process(etcd, tmp_path / "health") as (_, address):
        await asyncio.to_thread((tmp_path / "said.log").write_text, json.dumps(line, separators=(",", ":")) + "\n")
        async with grpc.aio.insecure_channel(address) as channel:

            async def is_heard() -> bool:
                request = pb.ListLogsRequest(service="etcd")
                answer = await EventServiceStub(channel).ListLogs(request, timeout=5, wait_for_ready=True)
                return [(each.message, each.fields["took"]) for each in answer.records] == [("slow fdatasync", "1.4s")]

            await eventually(is_heard, timeout_s=30, description="health has read the line")
