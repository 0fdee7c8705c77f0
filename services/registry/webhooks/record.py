"""Webhooks and their deliveries as the database has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum


class DeliveryState(Enum):
    """What has become of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    """For good: it is not tried again."""


@dataclass(frozen=True)
class NewWebhook:
    """What is to be told to whom."""

    url: str
    events: tuple[str, ...]
    """Names; empty: all."""
    secret: str = field(repr=False)
    description: str
    actor: str


@dataclass(frozen=True)
class WebhookRecord(NewWebhook):
    """A webhook that is there."""

    id: int
    created_at: datetime


@dataclass(frozen=True)
class DeliveryRecord:
    """One event for one webhook: in the outbox until it is delivered or given up, in the log afterwards."""

    id: int
    webhook_id: int
    delivery_id: str
    """The same at every attempt, so that a receiver knows what it has got already."""
    event: str
    body: str = field(repr=False)
    state: DeliveryState
    attempts: int
    due_at: datetime
    status: int | None
    """Of the last answer; None when there was none."""
    error: str
    created_at: datetime
    finished_at: datetime | None
