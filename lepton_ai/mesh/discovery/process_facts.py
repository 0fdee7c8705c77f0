"""What a process says of itself in the metadata of its endpoint: its release, when it began, and how it is set.

The one home of these facts: `facts_of` writes them, `ProcessFacts.of` reads them.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Self

from pydantic import BaseModel, SecretStr
from pydantic_settings import BaseSettings

from lepton_ai.mesh.address import is_address
from lepton_ai.mesh.discovery.records import UNREADABLE, Endpoint

_RELEASE, _STARTED, _SETTINGS = "release", "started", "settings"
_OF_THIS_PROCESS = frozenset({"port", "worker_port", "worker", "metrics_port", "advertise_address"})
"""Settings that tell one process of a service from another."""
_MAX_VALUE = 100
_STARTED_MS = round(time.time() * 1000)


@dataclass(frozen=True)
class ProcessFacts:
    """What is known of a process; empty where it says nothing."""

    release: str = ""
    started_ms: int = 0
    """When it began, in milliseconds since 1970: another one at the same address began at another time."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Those that are not the default. Of texts and paths only a checksum, of secrets nothing."""

    @classmethod
    def of(cls, endpoint: Endpoint) -> Self:
        """What an endpoint's process says; what cannot be read counts as not said."""
        metadata = endpoint.metadata
        try:
            settings = {str(name): str(value) for name, value in json.loads(metadata.get(_SETTINGS, "{}")).items()}
            return cls(metadata.get(_RELEASE, ""), int(metadata.get(_STARTED, "0")), settings)
        except UNREADABLE:
            return cls(metadata.get(_RELEASE, ""))


def facts_of(settings: BaseSettings) -> dict[str, str]:
    """This process, as its endpoint's metadata has it."""
    told = json.dumps(told_settings(settings), separators=(",", ":"), sort_keys=True)
    return {_RELEASE: _release(), _STARTED: str(_STARTED_MS), _SETTINGS: told}


def told_settings(settings: BaseSettings) -> dict[str, str]:
    """What others may know of the settings that are not the default, by name.

    Everybody who reaches etcd can read it. So numbers, switches, addresses and words of a list are told as they are,
    and of other texts and of paths, which may hold anything, only whether they are the same as before.
    """
    told: dict[str, str] = {}
    for name, info in type(settings).model_fields.items():
        value = getattr(settings, name, None)
        if name in _OF_THIS_PROCESS or isinstance(value, SecretStr) or name.endswith("_file"):
            continue
        if value != info.get_default(call_default_factory=True):
            told[name] = _told(value, has_fixed_words="Literal[" in str(info.annotation))
    return told


def _told(value: object, *, has_fixed_words: bool) -> str:
    if value is None or isinstance(value, bool | int | float | Enum):
        return str(value)[:_MAX_VALUE]
    if isinstance(value, Mapping) and all(isinstance(each, int | float) for each in value.values()):
        return json.dumps(dict(value), sort_keys=True)[:_MAX_VALUE]
    if isinstance(value, str) and (has_fixed_words or is_address(value)):
        return value[:_MAX_VALUE]
    text = value.model_dump_json() if isinstance(value, BaseModel) else str(value)
    return f"#{zlib.crc32(text.encode('utf-8', 'replace')):08x}"


@cache
def _release() -> str:
    try:
        return version("lepton-serving")
    except PackageNotFoundError:  # run from sources that nobody has installed
        return ""
