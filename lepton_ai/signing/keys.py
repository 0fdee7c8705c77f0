"""Key pairs to sign with, and the public keys and certificates that are trusted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lepton_ai.errors import AlreadyExists, FailedPrecondition

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization import KeySerializationEncryption

Curve = Literal["P-256", "P-384"]

_SUFFIXES = frozenset({".pem", ".pub", ".crt", ".cer"})
_PUBLIC_KEY, _CERTIFICATE = b"-----BEGIN PUBLIC KEY-----", b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True)
class SigningKey:
    """A private key in a PEM file, and, where others trust an authority rather than the key, its certificate."""

    path: Path
    password: str = field(default="", repr=False)
    certificate: Path | None = None
    """PEM: the key's certificate first, then those between it and the authority."""

    @classmethod
    def find(cls, path: Path | None, environ: Mapping[str, str]) -> SigningKey | None:
        """The key at `path`, else the one that LEPTON_SIGNING_KEY names; None without either."""
        named = environ.get("LEPTON_SIGNING_KEY", "")
        if path is None and not named:
            return None
        certificate = environ.get("LEPTON_SIGNING_CERTIFICATE", "")
        return cls(
            path or Path(named),
            environ.get("LEPTON_SIGNING_PASSWORD", ""),
            Path(certificate) if certificate else None,
        )


@dataclass(frozen=True)
class TrustedKeys:
    """Public keys and certificates of authorities, in PEM files. They are read anew each time, so that keys can be
    exchanged while a service runs."""

    paths: Sequence[Path] = ()
    """Files, or folders with files that end in .pem, .pub, .crt or .cer."""

    @classmethod
    def of(cls, setting: str) -> TrustedKeys:
        """From a setting: paths with ':' between them (';' on Windows)."""
        return cls(tuple(Path(each) for each in setting.split(os.pathsep) if each.strip()))

    def public_keys(self) -> list[Path]:
        """Files with a public key. Raises FailedPrecondition for a path that cannot be read."""
        return [path for path, content in self._files() if _PUBLIC_KEY in content]

    def authorities(self) -> list[Path]:
        """Files with certificates of authorities. Raises FailedPrecondition for a path that cannot be read."""
        return [path for path, content in self._files() if _CERTIFICATE in content]

    def check(self) -> None:
        """Raises FailedPrecondition when there is nothing that could be trusted."""
        if not any(_PUBLIC_KEY in content or _CERTIFICATE in content for _, content in self._files()):
            raise FailedPrecondition(
                "Signatures are to be verified, but there is no key or certificate to trust.",
                reason="NO_TRUSTED_KEYS",
                fix="Name PEM files, or folders of them, in LEPTON_SIGNATURE_KEYS: `lepton keys create` makes a pair.",
            )

    def _files(self) -> Iterator[tuple[Path, bytes]]:
        for path in self.paths:
            try:
                found = sorted(each for each in path.iterdir() if each.suffix in _SUFFIXES) if path.is_dir() else [path]
                yield from ((each, each.read_bytes()) for each in found)
            except OSError as error:
                raise FailedPrecondition(
                    f"A key in LEPTON_SIGNATURE_KEYS cannot be read: {error.strerror}.",
                    reason="NO_TRUSTED_KEYS",
                    fix="Name PEM files, or folders of them, that this user may read.",
                ) from error


def create_keys(path: Path, *, curve: Curve = "P-256", password: str = "") -> tuple[Path, Path]:
    """Make a key pair: the private key in `path`, for its owner only, the public one beside it with the suffix .pub.

    Raises AlreadyExists rather than take the place of a key, FailedPrecondition when the place cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    public_path = path.with_name(f"{path.name}.pub")
    private = ec.generate_private_key({"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}[curve])
    encryption: KeySerializationEncryption = (
        serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    )
    secret = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    if public_path.exists():
        raise _taken(public_path)
    _write_new(path, secret, mode=0o600)
    _write_new(public_path, public, mode=0o644)
    return path, public_path


def _write_new(path: Path, content: bytes, *, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise _taken(path) from None
    except OSError as error:
        raise FailedPrecondition(
            f"{path.name} cannot be written: {error.strerror}.", reason="NOT_WRITABLE", fix="Choose another place."
        ) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _taken(path: Path) -> AlreadyExists:
    return AlreadyExists(f"{path.name} exists.", reason="KEY_EXISTS", fix="Choose another name; keys are not replaced.")
