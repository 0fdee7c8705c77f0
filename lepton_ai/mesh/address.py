"""HOST:PORT, as gRPC takes it without a scheme."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+(?:%[0-9A-Za-z]+)?\]):([0-9]{1,5})")


def is_address(text: str) -> bool:
    """Whether this is HOST:PORT, where a process can be reached. An IPv6 host is in brackets."""
    match = _ADDRESS.fullmatch(text)
    return match is not None and 0 < int(match[1]) < 65536
