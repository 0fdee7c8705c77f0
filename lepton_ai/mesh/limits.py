"""Limits that both ends of a call use. Each is the default of a setting with the same meaning."""

from __future__ import annotations

MAX_MESSAGE_BYTES = 64 << 20
"""The largest message that a server takes and a client sends."""
MAX_CALLS_PER_CONNECTION = 100
"""Calls that a client has under way on one connection; more wait in the client for their turn."""
MAX_STREAMS_PER_CONNECTION = 2 * MAX_CALLS_PER_CONNECTION
"""Calls that a server takes on one connection; gRPC refuses more (RST_STREAM, REFUSED_STREAM). It counts answered ones
until their memory is free, which a client cannot see. Measured: of a client that has as many calls under way as the
server takes, up to nine in ten are refused; of one that has three quarters as many, none."""
DEFAULT_TIMEOUT_S = 30.0
"""How long a call that came without a deadline may take."""
BUSY_RETRY_AFTER_S = 0.1
"""When to try again a call that was refused because there are too many."""
