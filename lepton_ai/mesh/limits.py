"""Bounds that both ends of a call know. Each is the default of a setting of the same meaning."""

from __future__ import annotations

MAX_MESSAGE_BYTES = 64 << 20
"""The largest message that a server takes and a client sends."""
DEFAULT_TIMEOUT_S = 30.0
"""How long a call may take that came without a deadline."""
