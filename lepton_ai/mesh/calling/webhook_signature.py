"""How webhooks are signed, so that a receiver knows who sent them, whole and lately."""

from __future__ import annotations

import base64
import hashlib
import hmac


def signature(secret: str, delivery_id: str, timestamp: str, body: str) -> str:
    """MLflow's, and that of Standard Webhooks: "v1," and the HMAC-SHA256 of DELIVERY_ID.TIMESTAMP.BODY in Base64."""
    digest = hmac.new(secret.encode(), f"{delivery_id}.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
