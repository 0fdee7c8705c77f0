"""Which service makes a call."""

from __future__ import annotations

import pytest

from lepton_ai.mesh.calling.callers import caller_of, user_agent_option


@pytest.mark.parametrize(
    ("agent", "caller"),
    [
        ("lepton-health grpc-python-asyncio/1.81.1 grpc-c/53.0.0", "health"),
        ("grpc-python-asyncio/1.81.1", "client"),
        ("lepton-somebody-else grpc-go/1", "client"),
        ("", "client"),
    ],
)
def test_it_is_said_in_the_user_agent(agent: str, caller: str) -> None:
    assert caller_of((("te", "trailers"), ("user-agent", agent))) == caller


def test_who_says_nothing_is_a_program_of_a_user() -> None:
    assert caller_of(None) == caller_of(()) == "client"
    assert user_agent_option("") == ()
    assert user_agent_option("health") == (("grpc.primary_user_agent", "lepton-health"),)
