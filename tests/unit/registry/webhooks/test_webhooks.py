"""Webhooks on SQLite."""

from __future__ import annotations

from tests.unit.registry.webhooks.contract import WebhookContract, receiver

__all__ = ["receiver"]


class TestSqlite(WebhookContract):
    pass
