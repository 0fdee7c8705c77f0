"""What is not installed is said with how to install it."""

from __future__ import annotations

import pytest

from lepton_ai.errors import FailedPrecondition
from lepton_ai.installed import need


def test_a_package_that_is_there_is_enough() -> None:
    need("json", "This test")


def test_a_missing_one_is_named() -> None:
    with pytest.raises(FailedPrecondition, match="This test needs no_such_package") as caught:
        need("no_such_package", "This test")
    assert caught.value.fix == "Install it: pip install no_such_package"
