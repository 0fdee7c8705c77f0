"""Every offline vector of OpenSSF Model Signing for keys and certificates: see vectors/README.md."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lepton_ai.errors import InvalidInput, LeptonError
from lepton_ai.signing import bundles
from lepton_ai.signing.keys import TrustedKeys

VECTORS = Path(__file__).parent / "vectors"
TRUSTED = TrustedKeys((VECTORS / "keys",))
SIGNED = sorted(path.name for path in VECTORS.glob("v*"))


def test_all_of_them_are_here() -> None:
    assert len(SIGNED) == 9


@pytest.mark.parametrize("name", SIGNED)
def test_signatures_of_every_release_of_the_library_are_verified(name: str) -> None:
    directory = VECTORS / name
    signed = bundles.verify((directory / "model.sig").read_bytes(), TRUSTED)
    assert signed.files
    for path, sha256 in signed.files.items():
        # Of a single file the library once wrote "." as its name.
        file = directory / (path if path != "." else "signme-1")
        assert hashlib.sha256(file.read_bytes()).hexdigest() == sha256


@pytest.mark.parametrize("name", SIGNED)
def test_one_flipped_bit_of_a_signature_is_found(name: str) -> None:
    content = (VECTORS / name / "model.sig").read_bytes()
    place = content.index(b'"sig"') + 20
    with pytest.raises(LeptonError):
        bundles.verify(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :], TRUSTED)


@pytest.mark.parametrize("name", ["certificate", "key"])
def test_valid_vectors_of_the_specification_are_verified(name: str) -> None:
    signed = bundles.verify((VECTORS / f"specification/valid/{name}.bundle.json").read_bytes(), TRUSTED)
    assert (signed.subject, set(signed.files)) == ("model", {"signme-1", "signme-2"})


@pytest.mark.parametrize(
    "path", sorted((VECTORS / "specification").glob("invalid*/*.json")), ids=lambda path: path.stem.split(".")[0]
)
def test_invalid_vectors_of_the_specification_are_refused(path: Path) -> None:
    with pytest.raises(InvalidInput, match="is no signature"):
        bundles.verify(path.read_bytes(), TRUSTED)


def test_signatures_that_need_sigstores_servers_are_refused() -> None:
    with pytest.raises(InvalidInput, match="by a key or a certificate"):
        bundles.verify((VECTORS / "specification/valid/sigstore.bundle.json").read_bytes(), TRUSTED)
