"""Webhooks on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.registry.database.sql_store import SqlStore, open_postgresql
from tests.unit.registry.webhooks.contract import WebhookContract, receiver

__all__ = ["receiver"]


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[SqlStore]:
    opened, _ = await open_postgresql(database_url)
    yield opened
    await opened.close()


class TestPostgresql(WebhookContract):
    pass
