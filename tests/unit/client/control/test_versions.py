"""Tags of versions, as a client sets them."""

from __future__ import annotations

import pytest

from lepton_ai import AsyncClient
from lepton_ai.addresses import Addresses
from lepton_ai.errors import InvalidInput


@pytest.mark.parametrize("wrong", [{"描述": "y"}, {"a b": "y"}, {"note": "x" * 501}])
async def test_of_several_tags_none_is_set_where_one_cannot_be(wrong: dict[str, str]) -> None:
    async with AsyncClient(Addresses(registry="127.0.0.1:9")) as client:  # nobody listens there: nothing is asked
        with pytest.raises(InvalidInput):
            await client.set_tags("cat@2", {"team": "vision", **wrong})
