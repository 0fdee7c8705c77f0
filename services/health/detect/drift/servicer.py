"""lepton.v1.DriftService."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc

from lepton_ai.errors import NotFound
from lepton_ai.references import check_name
from lepton_ai.v1 import drift_pb2 as pb
from lepton_ai.v1 import drift_pb2_grpc
from services.health.detect.drift.book import DriftBook
from services.health.detect.drift.statistics import Verdict
from services.health.detect.drift.tally import Finding, Source

SERVICE = "lepton.v1.DriftService"
OPEN_METHODS = ("GetDrift",)
_VERDICTS = {
    Verdict.INCONCLUSIVE: pb.DRIFT_VERDICT_INCONCLUSIVE,
    Verdict.STABLE: pb.DRIFT_VERDICT_STABLE,
    Verdict.DRIFTED: pb.DRIFT_VERDICT_DRIFTED,
}
_REFERENCES = {Source.FIRST: pb.DRIFT_REFERENCE_FIRST, Source.TRAINING: pb.DRIFT_REFERENCE_TRAINING}
Context = grpc.aio.ServicerContext[Any, Any]


class DriftServicer(drift_pb2_grpc.DriftServiceServicer):
    """One method per RPC; the contract is documented in protos/lepton_ai/v1/drift.proto."""

    def __init__(self, book: DriftBook) -> None:
        self._book = book

    async def GetDrift(self, request: pb.GetDriftRequest, context: Context) -> pb.GetDriftResponse:  # noqa: N802
        model = check_name(request.model, field="model")
        outputs, inputs = self._book.findings(model), self._book.input_findings(model)
        if not outputs and not inputs:
            raise NotFound(
                f"No predictions of {model!r} were heard of.", reason="NO_PREDICTIONS", fix="Predict with it first."
            )
        versions = sorted({*outputs, *inputs}, reverse=True)
        return pb.GetDriftResponse(
            versions=[_version(each, outputs.get(each, ()), inputs.get(each, ())) for each in versions]
        )

    async def CountInputs(  # noqa: N802
        self, request: pb.CountInputsRequest, context: Context
    ) -> pb.CountInputsResponse:
        return pb.CountInputsResponse(wanted_profiles=self._book.hear_inputs(request.versions))


def _version(version: int, outputs: Sequence[Finding], inputs: Sequence[Finding]) -> pb.VersionDrift:
    worst = max((each.comparison.verdict for each in (*outputs, *inputs)), default=Verdict.INCONCLUSIVE)
    message = pb.VersionDrift(version=version, verdict=_VERDICTS[worst], comparisons=map(_comparison, outputs))
    message.inputs.extend(map(_comparison, inputs))
    return message


def _comparison(found: Finding) -> pb.DriftComparison:
    compared = found.comparison
    message = pb.DriftComparison(
        what=found.what,
        verdict=_VERDICTS[compared.verdict],
        golden=compared.golden,
        latest=compared.latest,
        statistics=[
            pb.DriftStatistic(name=each.name, value=each.value, threshold=each.threshold)
            for each in compared.statistics
        ],
        shares=_shares(found.shares),
        bins=_shares(found.bins),
        reference=_REFERENCES[found.source],
    )
    message.latest_since.FromNanoseconds(round(found.latest_since_s * 1e9))
    return message


def _shares(shares: Sequence[tuple[str, float, float]]) -> list[pb.DriftShare]:
    return [pb.DriftShare(name=name, golden=golden, latest=latest) for name, golden, latest in shares]
