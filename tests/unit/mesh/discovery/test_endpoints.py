"""Endpoints are registered in etcd's naming layout and followed by name of service."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.discovery import endpoints
from lepton_ai.mesh.discovery.endpoints import fixed_endpoints, register, watch_endpoints
from lepton_ai.mesh.discovery.records import Endpoint, endpoint_key
from lepton_ai.testing.eventually import eventually
from lepton_ai.testing.memory_store import MemoryStore

ONE = Endpoint("preprocess", "127.0.0.1:5001", {"zone": "东"})
TWO = Endpoint("preprocess", "127.0.0.1:5002")


async def test_an_endpoint_is_written_in_the_layout_of_etcd_naming() -> None:
    store = MemoryStore()
    await register(store, ONE)
    value = await store.get("/lepton/endpoints/preprocess/127.0.0.1:5001")
    assert json.loads(value or b"") == {"Addr": "127.0.0.1:5001", "Metadata": {"zone": "东"}}


@pytest.mark.parametrize(
    "endpoint", [Endpoint("a/b", "h:1"), Endpoint("", "h:1"), Endpoint("a", "h/1"), Endpoint("a", "")]
)
def test_names_that_would_break_the_key_are_refused(endpoint: Endpoint) -> None:
    with pytest.raises(InvalidInput):
        endpoint_key(endpoint)


async def test_a_watch_sees_the_endpoints_of_its_service_only() -> None:
    store = MemoryStore()
    await register(store, ONE)
    await register(store, Endpoint("preprocess-extra", "127.0.0.1:6000"))
    watch = await watch_endpoints(store, "preprocess")
    assert watch.endpoints == {ONE}
    assert watch.addresses == {"127.0.0.1:5001"}


async def test_changes_follow_arrivals_departures_and_metadata() -> None:
    store = MemoryStore()
    watch = await watch_endpoints(store, "preprocess")
    changes = watch.changes()
    assert await anext(changes) == frozenset()
    await register(store, ONE)
    assert await anext(changes) == {ONE}
    second = await register(store, TWO)
    assert await anext(changes) == {ONE, TWO}
    await second.update(b'{"Addr": "127.0.0.1:5002", "Metadata": {"load": "1"}}')
    assert await anext(changes) == {ONE, Endpoint("preprocess", "127.0.0.1:5002", {"load": "1"})}
    await second.withdraw()
    assert await anext(changes) == {ONE}


async def test_changes_end_when_the_watch_is_closed() -> None:
    watch = await watch_endpoints(MemoryStore(), "preprocess")
    await watch.close()
    assert [each async for each in watch.changes()] == [frozenset()]
    assert not watch.connected


@pytest.mark.parametrize(
    "value", [b"", b"{", b"[]", b"null", b'"x"', b"{}", b'{"Addr": 1}', b'{"Addr": "h:1", "Metadata": [1]}', b"\xff"]
)
async def test_an_entry_that_is_no_endpoint_hides_no_other(value: bytes) -> None:
    store = MemoryStore()
    await store.put("/lepton/endpoints/preprocess/broken", value)
    await register(store, ONE)
    watch = await watch_endpoints(store, "preprocess")
    assert watch.endpoints == {ONE}


async def test_an_entry_written_by_go_is_understood() -> None:
    store = MemoryStore()
    await store.put("/lepton/endpoints/preprocess/x", b'{"Op": 0, "Addr": "10.0.0.1:1", "Metadata": null}')
    assert (await watch_endpoints(store, "preprocess")).endpoints == {Endpoint("preprocess", "10.0.0.1:1")}


async def test_endpoints_stand_while_the_store_is_away() -> None:
    store = MemoryStore()
    await register(store, ONE)
    watch = await watch_endpoints(store, "preprocess")
    store.down()
    assert watch.endpoints == {ONE}
    assert not watch.connected


async def test_fixed_endpoints_are_those_that_were_told_and_never_change() -> None:
    watch = fixed_endpoints("inference", ["127.0.0.1:8500", "127.0.0.1:8501"])
    assert watch.addresses == {"127.0.0.1:8500", "127.0.0.1:8501"}
    assert [sorted(each.address for each in endpoints) async for endpoints in watch.changes()] == [
        ["127.0.0.1:8500", "127.0.0.1:8501"]
    ]


async def test_a_process_that_starts_without_the_store_begins_with_the_endpoints_seen_last(tmp_path: Path) -> None:
    store, memory = MemoryStore(), tmp_path / "邻居" / "preprocess.json"
    await register(store, ONE)
    earlier = await watch_endpoints(store, "preprocess", memory=memory)
    await eventually(memory.exists, description="the endpoints are kept")
    await earlier.close()
    store.down()
    later = await watch_endpoints(store.twin(), "preprocess", memory=memory)
    assert later.endpoints == {ONE}
    await later.close()


async def test_the_store_knows_better_than_the_memory(tmp_path: Path) -> None:
    memory = tmp_path / "preprocess.json"
    memory.write_text(json.dumps({endpoint_key(ONE): '{"Addr": "127.0.0.1:5001"}'}))
    store = MemoryStore()
    await register(store, TWO)
    watch = await watch_endpoints(store, "preprocess", memory=memory)
    assert watch.endpoints == {TWO}
    await watch.close()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 1}', '{"/lepton/endpoints/preprocess/a:1": 1}'])
async def test_a_damaged_memory_is_no_memory(tmp_path: Path, content: str) -> None:
    memory = tmp_path / "preprocess.json"
    memory.write_text(content)
    watch = await watch_endpoints(MemoryStore(), "preprocess", memory=memory)
    assert not watch.endpoints
    await watch.close()


async def test_remembering_goes_on_when_a_write_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, failures = endpoints._write, [OSError("disk full"), ValueError("poison")]

    def fail_first(path: Path, entries: Mapping[str, bytes]) -> None:
        if failures:
            raise failures.pop()
        write(path, entries)

    monkeypatch.setattr(endpoints, "_write", fail_first)
    store, memory = MemoryStore(), tmp_path / "preprocess.json"
    await register(store, ONE)
    watch = await watch_endpoints(store, "preprocess", memory=memory)
    await eventually(lambda: len(failures) < 2, description="the first write has failed")
    await eventually(lambda: not failures, description="the second one, too")
    await register(store, TWO)
    await eventually(memory.exists, description="the endpoints are kept")
    await watch.close()


async def test_what_cannot_be_dialled_is_no_endpoint() -> None:
    store = MemoryStore()
    await store.put("/lepton/endpoints/preprocess/x", b'{"Addr": "unix:/run/x"}')
    await store.put("/lepton/endpoints/preprocess/y", b"[" * 100_000)
    await register(store, ONE)
    assert (await watch_endpoints(store, "preprocess")).addresses == {ONE.address}
