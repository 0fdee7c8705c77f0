"""Makes and reads signatures: Sigstore bundles by the specification of OpenSSF Model Signing, with its own library.

What is signed is an in-toto statement. Its subject is MODEL@VERSION, its resources are the package's files with their
hashes: the same that the version's digest is made of. So a signature of another model, of another version, or of other
files is not one of this version. <https://github.com/ossf/model-signing-spec>
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.signing.keys import SigningKey, TrustedKeys
from lepton_ai.signing.subject import subject
from lepton_ai.v1 import registry_pb2

if TYPE_CHECKING:
    from model_signing._signing.sign_sigstore_pb import Verifier
    from model_signing.manifest import Manifest

MAX_BUNDLE_BYTES = 3 << 20
"""As much as goes into a message; about 10,000 files."""
_SERIALIZATION = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
_PEM_BEGIN = "-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True)
class Signed:
    """What a signature says it is for, whoever made it."""

    subject: str
    """MODEL@VERSION, or MODEL@VERSION+VARIANT."""
    files: Mapping[str, str]
    """Path → SHA-256."""
    signer: str
    """For people: the key's fingerprint, or the certificate's subject."""


def sign(manifest: registry_pb2.Manifest, version: int, key: SigningKey, variant: str = "") -> bytes:
    """The signature of a version, or of a variant of it, as a Sigstore bundle (JSON).

    Raises FailedPrecondition for a key that cannot be used, InvalidInput for a package of too many files.
    """
    from model_signing._signing.signing import Payload

    bundle = _signer(key).sign(Payload(_oms_manifest(subject(manifest.model, version, variant), manifest)))
    content: bytes = bundle.bundle.to_json().encode()
    if len(content) > MAX_BUNDLE_BYTES:
        raise InvalidInput(
            f"The package has too many files to be signed: {len(manifest.files)}.",
            reason="TOO_MANY_FILES",
            fix="Pack small files into one, or leave out what the model does not need.",
        )
    return content


def read(bundle: bytes) -> Signed:
    """What a signature is for, with nothing verified. Raises InvalidInput for what is no signature."""
    from model_signing._signing.signing import dsse_payload_to_manifest

    _check_size(bundle)
    with _malformed():
        document = json.loads(bundle)
        payload = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))
        return _signed(dsse_payload_to_manifest(payload), _signer_of(document))


def verify(bundle: bytes, trusted: TrustedKeys) -> Signed:
    """What a signature is for, if somebody has made it who is trusted.

    Raises InvalidInput for what is no signature, FailedPrecondition for one of somebody else and for a forged one.
    """
    _check_size(bundle)
    with _malformed():
        document = json.loads(bundle)
        by_key = "publicKey" in document["verificationMaterial"]
    verifiers = _key_verifiers(trusted) if by_key else _certificate_verifiers(trusted)
    for verifier in verifiers:
        manifest = _verified_by(verifier, bundle)
        if manifest is not None:
            return _signed(manifest, _signer_of(document))
    read(bundle)  # says so when it is no signature at all
    raise FailedPrecondition(
        f"The signature is forged, or by somebody who is not trusted here: {_signer_of(document)}.",
        reason="SIGNATURE_NOT_TRUSTED",
        fix="Sign the version with a key that is trusted, or add its public key to LEPTON_SIGNATURE_KEYS.",
    )


def _check_size(bundle: bytes) -> None:
    if len(bundle) > MAX_BUNDLE_BYTES:
        raise InvalidInput.of_field("signature", f"is larger than {MAX_BUNDLE_BYTES} bytes")


def _signer(key: SigningKey) -> Any:
    from model_signing._signing import sign_certificate, sign_ec_key

    try:
        if key.certificate is None:
            return sign_ec_key.Signer(key.path, key.password.encode() if key.password else None)  # type: ignore[arg-type]
        with tempfile.TemporaryDirectory() as directory:
            leaf, *chain = _split_certificates(key.certificate, Path(directory))
            return sign_certificate.Signer(key.path, leaf, chain)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        what = "it is a public key." if _is_public(key.path) else _plain(error)
        raise FailedPrecondition(
            f"{key.path.name} cannot be signed with: {what}",
            reason="SIGNING_KEY",
            fix="Name a private key of `lepton keys create`, and its password in LEPTON_SIGNING_PASSWORD.",
        ) from error


def _is_public(path: Path) -> bool:
    try:
        return b"-----BEGIN PUBLIC KEY-----" in path.read_bytes()
    except OSError:
        return False


def _split_certificates(path: Path, directory: Path) -> list[Path]:
    """One file for each certificate: the library wants the key's own apart."""
    parts = path.read_text(encoding="ascii").split(_PEM_BEGIN)[1:]
    if not parts:
        raise ValueError("the file of its certificate holds none")
    written = [directory / f"{number}.pem" for number in range(len(parts))]
    for target, part in zip(written, parts, strict=True):
        target.write_text(_PEM_BEGIN + part, encoding="ascii")
    return written


def _key_verifiers(trusted: TrustedKeys) -> Iterator[Verifier]:
    from model_signing._signing.sign_ec_key import Verifier

    for path in trusted.public_keys():
        with _unusable(path):
            yield Verifier(path)


def _certificate_verifiers(trusted: TrustedKeys) -> Iterator[Verifier]:
    from model_signing._signing.sign_certificate import Verifier

    for path in trusted.authorities():  # each by itself: a chain must end at one of them
        with _unusable(path):
            yield Verifier([path])


def _verified_by(verifier: Verifier, bundle: bytes) -> Manifest | None:
    from model_signing._signing.sign_sigstore_pb import Signature

    with tempfile.NamedTemporaryFile(suffix=".sig") as file:
        file.write(bundle)
        file.flush()
        try:
            return verifier.verify(Signature.read(Path(file.name)))
        except Exception:  # noqa: BLE001 - whatever a hostile bundle provokes in the library: it is not verified
            return None


def _oms_manifest(name: str, manifest: registry_pb2.Manifest) -> Manifest:
    from model_signing._hashing.hashing import Digest
    from model_signing.manifest import Manifest, SerializationType

    serialization = SerializationType.from_args(_SERIALIZATION)
    digests = {file.path: Digest("sha256", bytes.fromhex(file.sha256)) for file in manifest.files}
    return Manifest(name, [serialization.new_item(path, digest) for path, digest in digests.items()], serialization)


def _signed(manifest: Manifest, signer: str) -> Signed:
    descriptors = list(manifest.resource_descriptors())
    return Signed(manifest.model_name, {each.identifier: each.digest.digest_hex for each in descriptors}, signer)


def _signer_of(document: Mapping[str, Any]) -> str:
    from cryptography.x509 import load_der_x509_certificate

    material = document["verificationMaterial"]
    if "publicKey" in material:
        return f"key {str(material['publicKey'].get('hint') or 'without a fingerprint')[:16]}"
    chain = material["x509CertificateChain"]["certificates"]
    return load_der_x509_certificate(base64.b64decode(chain[0]["rawBytes"])).subject.rfc4514_string()[:200]


@contextmanager
def _malformed() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise InvalidInput.of_field(
            "signature",
            "is no signature of OpenSSF Model Signing by a key or a certificate",
            reason="SIGNATURE_MALFORMED",
            fix="`lepton sign` makes one.",
        ) from error


@contextmanager
def _unusable(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, AttributeError) as error:
        raise FailedPrecondition(
            f"{path.name} in LEPTON_SIGNATURE_KEYS cannot be used: {_plain(error)}",
            reason="NO_TRUSTED_KEYS",
            fix="Name public keys on P-256, P-384 or P-521, or certificates, in PEM files.",
        ) from error


def _plain(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror}."
    return f"{str(error).splitlines()[0].rstrip('.') if str(error) else type(error).__name__}."
