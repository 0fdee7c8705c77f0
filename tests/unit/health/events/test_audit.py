"""What the audit trail and the shared state say of a deployment becomes one sentence, with the version it is about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from lepton_ai.credentials import Metadata
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.v1 import registry_pb2 as pb
from services.health.events.changes.audit import AuditReader, event_of
from services.health.events.changes.deployments import describe
from tests.unit.health.events.deployed import AT_S, deployment, entry

V1, V2 = deployment(1), deployment(2, generation=2)


@pytest.mark.parametrize(
    ("before", "after", "kind", "title"),
    [
        (None, V1, "deploy", "resnet is served: version 1 is production"),
        (V1, V2, "deploy", "version 2 of resnet is production, it was version 1"),
        (V1, None, "undeploy", "resnet was taken out of service"),
        (
            V1,
            deployment(1, candidate=2, percent=10),
            "rollout",
            "version 2 of resnet gets 10 % of the calls",
        ),
        (
            V1,
            deployment(1, candidate=2, shadow=500),
            "rollout",
            "version 2 of resnet gets a copy of 5 % of the calls",
        ),
        (
            deployment(1, candidate=2, percent=10),
            deployment(1, candidate=2, percent=50),
            "rollout",
            "version 2 of resnet gets 50 % of the calls",
        ),
        (
            V1,
            deployment(1, candidate_variant="int8", percent=5),
            "rollout",
            "variant int8 of version 1 of resnet gets 5 % of the calls",
        ),
        (
            deployment(1, candidate_variant="int8", percent=5),
            deployment(1, candidate_variant="int8", percent=25),
            "rollout",
            "variant int8 of version 1 of resnet gets 25 % of the calls",
        ),
        (
            deployment(1, candidate_variant="int8", percent=25),
            deployment(1, pinned="int8"),
            "deploy",
            "variant int8 answers in place of version 1 of resnet",
        ),
        (
            deployment(1, pinned="int8"),
            V1,
            "deploy",
            "version 1 of resnet answers itself again, it was variant int8",
        ),
        (V1, deployment(1, staging=3), "alias", "resnet@staging is version 3 now"),
        (deployment(1, staging=3), V1, "alias", "resnet@staging is gone"),
    ],
)
def test_a_change_of_what_is_asked_for_is_described(
    before: pb.Deployment | None, after: pb.Deployment | None, kind: str, title: str
) -> None:
    described = describe("resnet", before, after)
    assert described is not None
    assert (described.kind, described.title) == (kind, title)


def test_a_deployment_that_is_only_published_again_is_no_change() -> None:
    assert describe("resnet", deployment(1, generation=1), deployment(1, generation=7)) is None
    assert describe("resnet", None, None) is None


@pytest.mark.parametrize(
    ("told", "kind", "title", "version"),
    [
        (entry(1, "deploy", after=V1), "deploy", "resnet is served: version 1 is production", "1"),
        (entry(1, "deploy", before=V1, after=V2), "deploy", "version 2 of resnet is production, it was version 1", "2"),
        (entry(1, "undeploy", before=V1), "undeploy", "resnet was taken out of service", "1"),
        (
            entry(1, "set_alias", after={"alias": "staging", "version": 3}),
            "alias",
            "resnet@staging is version 3 now",
            "3",
        ),
        (entry(1, "delete_alias", before={"alias": "staging", "version": 3}), "alias", "resnet@staging is gone", ""),
        (entry(1, "push", after={"version": 4, "digest": "x"}), "push", "version 4 of resnet was pushed", "4"),
        (
            entry(1, "rollout_start", before=V1, after=deployment(1, candidate=2)),
            "rollout",
            "the rollout of resnet to version 2 began: version 2 of resnet gets 0 % of the calls",
            "2",
        ),
        (
            entry(1, "rollout_promoted", before=deployment(1, candidate=2, percent=50), after=V2),
            "rollout",
            "the rollout of resnet to version 2 has come to its end: it has all calls: version 2 of resnet is "
            "production, it was version 1",
            "2",
        ),
        (entry(1, "create_webhook", model="", after={"url": "x"}), "registry", "create webhook", ""),
        (entry(1, "deploy", after={"routes": "nonsense"}), "registry", "resnet: deploy", ""),
    ],
)
def test_an_entry_of_the_audit_trail_is_an_event_with_its_actor(
    told: pb.AuditEntry, kind: str, title: str, version: str
) -> None:
    event = event_of(told)
    assert (event.kind, event.title, event.labels.get("version", "")) == (kind, title, version)
    assert (event.actor, event.time_s) == ("anna@例子 ipv4:10.0.0.9", AT_S + 1)


class Registry:
    """In place of a pool of registries: answers pages as they do."""

    def __init__(self, count: int) -> None:
        self.entries = [entry(number, "push", after={"version": number}) for number in range(1, count + 1)]
        self.asked = 0
        self.metadata: dict[str, str] = {}

    async def call(self, invoke: Callable[[Any, float], Awaitable[Any]], *, timeout_s: float) -> Any:
        class Channel:
            """Hands out calls."""

            def unary_unary(_, method: str, **options: Any) -> Any:  # noqa: N805 - the test's own self is needed
                return self._list

            unary_stream = stream_unary = stream_stream = unary_unary

        return await invoke(Channel(), timeout_s)

    async def _list(self, request: pb.ListAuditRequest, *, timeout: float, metadata: Metadata) -> pb.ListAuditResponse:
        self.asked += 1
        self.metadata = dict(metadata)
        found = [each for each in reversed(self.entries) if not request.before or each.id < request.before]
        page = found[: request.limit]
        return pb.ListAuditResponse(entries=page, before=page[-1].id if len(found) > len(page) else 0)


async def test_the_trail_is_read_on_from_where_it_was_read_last() -> None:
    registry = Registry(1200)
    reader = AuditReader(cast("ServicePool", registry), (("authorization", "Bearer x"),))
    everything = await reader.read(0, "")
    assert [each.id for each in everything] == list(range(1, 1201))
    assert registry.metadata["authorization"] == "Bearer x"
    assert registry.metadata["traceparent"].endswith("-00"), "it is nobody's call, and is not traced"
    registry.asked = 0
    found = await reader.read(1198, everything[1197].hash)
    assert [each.id for each in found] == [1199, 1200]
    assert registry.asked == 1


async def test_the_trail_of_a_registry_that_was_wiped_is_read_from_its_beginning() -> None:
    reader = AuditReader(cast("ServicePool", Registry(3)), ())
    assert [each.id for each in await reader.read(2, "another hash")] == [1, 2, 3]
