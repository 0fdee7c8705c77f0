"""Deployments, entries of the audit trail, and a registry that tells them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from google.protobuf import json_format

from lepton_ai.errors import Unavailable
from lepton_ai.v1 import registry_pb2 as pb
from services.health.events.changes.audit import AuditReader

AT_S = 1_700_000_000


def deployment(
    version: int,
    *,
    model: str = "resnet",
    generation: int = 1,
    candidate: int = 0,
    percent: int = 0,
    shadow: int = 0,
    candidate_variant: str = "",
    pinned: str = "",
    **aliases: int,
) -> pb.Deployment:
    if candidate_variant:
        production = [pb.WeightedVersion(version=version, weight=100)]
        route = pb.Route(alias="production", targets=production, candidate=version, shadow=shadow)
        route.candidate_variant, route.candidate_share = candidate_variant, 100 * percent
        return pb.Deployment(model=model, generation=generation, routes=[route])
    targets = [pb.WeightedVersion(version=version, weight=100 - percent)]
    if candidate:
        targets.append(pb.WeightedVersion(version=candidate, weight=percent))
    routes = [pb.Route(alias="production", targets=targets, candidate=candidate, shadow=shadow)]
    routes += [
        pb.Route(alias=alias, targets=[pb.WeightedVersion(version=number, weight=1)])
        for alias, number in aliases.items()
    ]
    variants = [pb.DeployedVariant(name=pinned, pinned=True)] if pinned else []
    versions = [pb.DeployedVersion(version=version, variants=variants)]
    return pb.Deployment(model=model, generation=generation, routes=routes, versions=versions)


def entry(
    number: int,
    action: str,
    *,
    model: str = "resnet",
    actor: str = "anna@例子 ipv4:10.0.0.9",
    before: pb.Deployment | dict[str, object] | None = None,
    after: pb.Deployment | dict[str, object] | None = None,
) -> pb.AuditEntry:
    made = pb.AuditEntry(id=number, actor=actor, action=action, model=model, hash=f"{number:064x}")
    made.at.FromSeconds(AT_S + number)
    for name, value in (("before_json", before), ("after_json", after)):
        if value is not None:
            plain = value if isinstance(value, dict) else json_format.MessageToDict(value)
            setattr(made, name, json.dumps(plain))
    return made


class Trail(AuditReader):
    """In place of a reader that asks a registry."""

    def __init__(self) -> None:
        self.entries: list[pb.AuditEntry] = []
        self.is_away = False

    async def read(self, after: int, after_hash: str) -> list[pb.AuditEntry]:
        if self.is_away:
            raise Unavailable("The registry is away.")
        known: Sequence[int] = [each.id for each in self.entries if (each.id, each.hash) == (after, after_hash)]
        return [each for each in self.entries if not known or each.id > after]
