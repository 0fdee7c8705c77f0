"""What `lepton models NAME@VERSION` says of one version."""

from __future__ import annotations

import pytest

from lepton_ai.cli.versions.listing import print_version
from lepton_ai.v1 import registry_pb2 as pb

VERSION = pb.ModelVersion(model="cat", version=3, state=pb.MODEL_VERSION_STATE_READY, size_bytes=794)


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        (None, "by nobody"),
        (pb.Signature(signer="key ab12", verified=True), "by key ab12 (verified by the registry)"),
        (pb.Signature(signer="key ab12"), "by key ab12 (not verified by the registry: lepton verify)"),
    ],
)
def test_who_signed_it_is_said(signature: pb.Signature | None, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_version(VERSION, signature)
    shown = capsys.readouterr().out
    assert said in shown
    assert "794 B" in shown
