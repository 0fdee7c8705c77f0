"""Regular expressions of users: RE2's, as Prometheus has them, which take time in proportion to what they look at."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

import re2

from lepton_ai.errors import InvalidInput

_MAX_BYTES = 1 << 20
"""Of one compiled expression with what it learns while it matches; the library keeps the last 128."""
_MAX_GROUPS, _MAX_INSTRUCTIONS_WITH_GROUPS = 20, 1000
"""Where groups lie is found by carrying all of them through every instruction: thousands of both take minutes."""


class Pattern(Protocol):
    """A compiled expression."""

    def fullmatch(self, text: str) -> Match | None:
        """What matched, if the whole text does."""


class Match(Protocol):
    """What an expression found."""

    def group(self) -> str:
        """All of it."""

    def groupdict(self) -> dict[str, str | None]:
        """Its named groups."""

    def groups(self) -> tuple[str | None, ...]:
        """Its groups from the first; None for one that took no part."""


@lru_cache(maxsize=128)
def compile_pattern(expression: str) -> Pattern:
    """An expression that only says whether a text matches. Raises InvalidInput for what is none, or is too large."""
    pattern: Pattern = _compiled(expression, has_groups=False)
    return pattern


@lru_cache(maxsize=128)
def compile_groups(expression: str) -> Pattern:
    """An expression that also says what its groups matched. Raises InvalidInput for what is none, or is too large."""
    compiled = _compiled(expression, has_groups=True)
    if compiled.groups > _MAX_GROUPS or compiled.programsize > _MAX_INSTRUCTIONS_WITH_GROUPS:
        raise _invalid(expression, f"it is too large, or has more than {_MAX_GROUPS} groups")
    pattern: Pattern = compiled
    return pattern


def _compiled(expression: str, *, has_groups: bool) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_BYTES
    options.never_capture = not has_groups
    try:
        return re2.compile(expression, options)
    except re2.error as error:
        raise _invalid(expression, error.args[0].decode(errors="replace")) from None
    except UnicodeEncodeError:
        raise _invalid(expression, "it is no text") from None


def _invalid(expression: str, why: str) -> InvalidInput:
    return InvalidInput.of_field(
        "pattern", f"{expression[:100]!r} is no regular expression: {why}", fix="Write it as RE2 has them."
    )
