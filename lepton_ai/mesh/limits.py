"""Limits that both ends of a call use. Each is the default of a setting with the same meaning."""

from __future__ import annotations

MAX_MESSAGE_BYTES = 64 << 20
"""The largest message that a server takes and a client sends."""
DEFAULT_TIMEOUT_S = 30.0
"""How long a call that came without a deadline may take."""
