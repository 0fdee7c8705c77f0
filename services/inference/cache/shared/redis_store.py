"""The shared store in Redis or Valkey. The only file that imports their client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from lepton_ai.errors import FailedPrecondition, Unavailable
from services.inference.cache.shared.store import Written

T = TypeVar("T")

_PREFIX = "lepton:cache:"
_CHANNEL = f"{_PREFIX}dropped"
_SCAN_COUNT = 1000
_SOCKET_TIMEOUT_S = 2.0
_LISTEN_S = 1.0


class RedisStore:
    """Speaks to one server, or to what stands for several at one address."""

    def __init__(self, url: str, *, max_connections: int = 80) -> None:
        """`url`: redis://, rediss:// (TLS) or unix://, with user and password where needed. Does not connect yet."""
        try:
            self._redis: Redis = Redis.from_url(
                url,
                max_connections=max_connections,
                socket_timeout=_SOCKET_TIMEOUT_S,
                socket_connect_timeout=_SOCKET_TIMEOUT_S,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
            )
        except ValueError as error:
            raise FailedPrecondition(
                "LEPTON_CACHE_URL is no address of a Redis or Valkey.", fix="Write redis://HOST:PORT/0."
            ) from error

    async def get(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        found: Sequence[bytes | None] = await _known(lambda: self._redis.mget([_PREFIX + key for key in keys]))
        return found

    async def put(self, values: Sequence[Written]) -> None:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for each in values:
                pipeline.set(_PREFIX + each.key, each.value, px=max(1, int(each.ttl_s * 1000)))
            await _known(pipeline.execute)

    async def generations(self, groups: Sequence[str]) -> Sequence[int]:
        found = await _known(lambda: self._redis.mget([_generation(group) for group in groups]))
        return [int(number or 0) for number in found]

    async def drop(self, group: str) -> int:
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.incr(_generation(group))
            pipeline.publish(_CHANNEL, group)
            generation, _ = await _known(pipeline.execute)
        await _known(lambda: self._free(group, int(generation)))
        return int(generation)

    async def dropped(self) -> AsyncGenerator[str]:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:
            await _known(lambda: subscription.subscribe(_CHANNEL))
            yield ""
            while True:
                message = await _known(lambda: subscription.get_message(timeout=_LISTEN_S))
                if message is not None:
                    yield message["data"].decode("utf-8", "replace")

    async def close(self) -> None:
        await self._redis.aclose()

    async def _free(self, group: str, generation: int) -> None:
        """Remove what older generations hold, without keeping the server from other work."""
        current = f"{_PREFIX}{group}/{generation}/".encode()
        batch: list[bytes] = []
        async for key in self._redis.scan_iter(match=f"{_PREFIX}{group}/*", count=_SCAN_COUNT):
            if not key.startswith(current):
                batch.append(key)
            if len(batch) >= _SCAN_COUNT:
                await self._redis.unlink(*batch)
                batch.clear()
        if batch:
            await self._redis.unlink(*batch)


def _generation(group: str) -> str:
    return f"{_PREFIX}generation:{group}"


async def _known(call: Callable[[], Awaitable[Any]]) -> Any:
    """Await a call; its errors as ours."""
    try:
        return await call()
    except (RedisError, OSError, TimeoutError) as error:
        raise Unavailable(
            f"The shared cache does not work: {type(error).__name__}.", reason="SHARED_CACHE_UNAVAILABLE"
        ) from error
