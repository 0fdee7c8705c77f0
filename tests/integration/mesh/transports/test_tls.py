"""TLS and mutual TLS on each transport."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.integration.mesh.transports.conftest import ProbeClient, ProbeProcess, probe_process


@dataclass(frozen=True)
class Identity:
    """A certificate that names its own key's owner as the authority."""

    cert: Path
    key: Path

    @classmethod
    def make(cls, folder: Path, name: str) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        cert = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
            .sign(key, hashes.SHA256())
        )
        made = cls(folder / f"{name}.pem", folder / f"{name}.key")
        made.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        made.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return made


async def answer(probe: ProbeProcess, authority: Identity, client: Identity | None = None) -> str:
    credentials = grpc.ssl_channel_credentials(
        authority.cert.read_bytes(),
        client.key.read_bytes() if client else None,
        client.cert.read_bytes() if client else None,
    )
    async with grpc.aio.secure_channel(probe.address, credentials) as channel:
        return await ProbeClient(channel).send("UnaryUnary", "a", timeout=5)


async def test_with_a_certificate_the_port_speaks_tls_and_nothing_else(transport: str, tmp_path: Path) -> None:
    server, stranger = Identity.make(tmp_path, "server"), Identity.make(tmp_path, "stranger")
    with probe_process(transport, tls_cert_file=server.cert, tls_key_file=server.key) as probe:
        assert await answer(probe, server) == "a"
        with pytest.raises(grpc.aio.AioRpcError):
            await answer(probe, stranger)
        async with grpc.aio.insecure_channel(probe.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await ProbeClient(channel).send("UnaryUnary", "a", timeout=5)


async def test_clients_must_show_a_certificate_of_the_named_authority(transport: str, tmp_path: Path) -> None:
    server, known, stranger = (Identity.make(tmp_path, name) for name in ("server", "known", "stranger"))
    files = {"tls_cert_file": server.cert, "tls_key_file": server.key, "tls_client_ca_file": known.cert}
    with probe_process(transport, **files) as probe:
        assert await answer(probe, server, known) == "a"
        for client in (None, stranger):
            with pytest.raises(grpc.aio.AioRpcError):
                await answer(probe, server, client)
