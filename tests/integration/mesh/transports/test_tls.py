"""TLS and mutual TLS on each transport."""

from __future__ import annotations

import datetime
import ipaddress
import time
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lepton_ai.errors import FailedPrecondition
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.serving.server import Server
from lepton_ai.mesh.serving.transports.certificates import first_expiry
from lepton_ai.mesh.settings import PublicSettings
from lepton_ai.mesh.tracing import Tracing
from tests.integration.mesh.transports.conftest import ProbeClient, ProbeProcess, probe_process


@dataclass(frozen=True)
class Identity:
    """A certificate that names its own key's owner as the authority."""

    cert: Path
    key: Path

    @classmethod
    def make(cls, folder: Path, name: str, *, days: float = 1 / 24) -> Identity:
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
            .not_valid_after(now + datetime.timedelta(days=days))
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


async def test_the_metrics_page_tells_when_the_first_certificate_expires(tmp_path: Path) -> None:
    first = Identity.make(tmp_path, "first", days=3)
    others = [Identity.make(tmp_path, name, days=days) for name, days in (("second", 30), ("third", 20))]
    authorities = tmp_path / "authorities.pem"
    authorities.write_bytes(b"".join(each.cert.read_bytes() for each in others))
    files = {"tls_cert_file": first.cert, "tls_key_file": first.key, "tls_client_ca_file": authorities}
    settings = PublicSettings(transport="grpc", propagation_s=0, **files)  # type: ignore[arg-type]
    metrics = Metrics("probe")
    server = Server("probe", settings, state=None, tracing=Tracing.create("probe", settings), metrics=metrics)
    await server.start()
    await server.drain()
    for use, days in (("server", 3), ("client_ca", 20)):
        name = "lepton_tls_certificate_expiry_timestamp_seconds"
        expiry = metrics.registry.get_sample_value(name, {"use": use})
        assert expiry is not None
        assert expiry - time.time() == pytest.approx(days * 86400, abs=60)


def test_a_file_without_a_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("no certificate")
    with pytest.raises(FailedPrecondition, match="LEPTON_TLS_CERT_FILE holds no certificate"):
        first_expiry(tmp_path / "key.pem", "LEPTON_TLS_CERT_FILE")
