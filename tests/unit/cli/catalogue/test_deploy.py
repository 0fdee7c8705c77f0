"""What `lepton deploy` refuses before it asks anybody."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from lepton_ai.cli.catalogue.deploy import deploy


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--every", "5s"),
        ("--bake", "1m"),
        ("--margin", "errors=2%"),
        ("--metric", "m: up > 0"),
        ("--detach", None),
        ("--no-judge", None),
    ],
)
def test_an_option_of_a_rollout_without_one_is_refused(option: str, value: str | None) -> None:
    done = CliRunner().invoke(deploy, ["rows@2", option, *([value] if value else [])])
    assert done.exit_code == 2
    assert f"{option} belongs to --canary, --shadow or --ab" in done.output


def test_an_ab_test_needs_its_key() -> None:
    done = CliRunner().invoke(deploy, ["rows@2", "--ab", ""])
    assert done.exit_code == 2
    assert "is empty" in done.output
