"""When the certificates of a port expire: one that has expired ends every call at once, and is foreseen for months."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from lepton_ai.errors import FailedPrecondition
from lepton_ai.mesh.settings import TlsFiles


def tell_expiry(registry: CollectorRegistry, files: TlsFiles) -> None:
    """Have the metrics page tell when the certificates expire that the port is opened with, until it is opened anew.

    Raises FailedPrecondition for a file that holds none.
    """
    expiry = Gauge(
        "lepton_tls_certificate_expiry_timestamp_seconds",
        "When the first certificate expires of the port's own (server) or of its clients' authorities (client_ca).",
        ("use",),
        registry=registry,
    )
    expiry.labels("server").set(first_expiry(files.cert, "LEPTON_TLS_CERT_FILE"))
    if files.client_ca is not None:
        expiry.labels("client_ca").set(first_expiry(files.client_ca, "LEPTON_TLS_CLIENT_CA_FILE"))


def first_expiry(path: Path, setting: str) -> float:
    """When the first of a PEM file's certificates expires, in seconds since 1970; `setting` names the file in errors.

    Raises FailedPrecondition.
    """
    from cryptography import x509  # few processes have TLS

    try:
        certificates = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise FailedPrecondition(
            f"The file of {setting} holds no certificate.", reason="TLS", fix="Name a PEM file."
        ) from error
    return min(each.not_valid_after_utc.timestamp() for each in certificates)
