"""Finds versions by what they are, come from and are said to be; and keeps what people say of them."""

from __future__ import annotations

import base64
import binascii

from lepton_ai.errors import InvalidInput, NotFound
from lepton_ai.references import check_name, check_tag
from lepton_ai.v1 import common_pb2, registry_pb2
from services.registry.catalogue.catalogue import resolve
from services.registry.catalogue.filters import parse_filter
from services.registry.completion import Completion
from services.registry.database.store import AuditEntry, Store
from services.registry.messages import version_message

_PAGE, _MAX_PAGE = 100, 1000
_MAX_TAGS = 100


class Search:
    """Filters, pages and tags."""

    def __init__(self, store: Store, completion: Completion) -> None:
        self._store = store
        self._completion = completion

    async def find(self, text: str, *, page_size: int, page_token: str) -> registry_pb2.SearchVersionsResponse:
        """One page of what the filter lets through. Raises InvalidInput for a wrong filter or token."""
        terms, size = parse_filter(text), min(page_size or _PAGE, _MAX_PAGE)
        async with self._store.reading() as reading:
            found = await reading.search(terms, after=_read_token(page_token), limit=size + 1)
            response = registry_pb2.SearchVersionsResponse()
            for record in found[:size]:
                response.versions.append(version_message(record, await reading.aliases(record.model)))
        for message in response.versions:
            message.ClearField("manifest")
        if len(found) > size:
            response.next_page_token = _token(found[size - 1].model, found[size - 1].version)
        return response

    async def set_tag(
        self, ref: common_pb2.ModelRef, key: str, value: str, *, actor: str
    ) -> registry_pb2.SetTagResponse:
        """Set a tag, or, with an empty value, take it away. Raises NotFound, InvalidInput."""
        check_tag(key, value)
        return await self._completion.finish(self._set_tag(ref, key, value, actor))

    async def _set_tag(self, ref: common_pb2.ModelRef, key: str, value: str, actor: str) -> registry_pb2.SetTagResponse:
        async with self._store.writing() as writing:
            model, number = check_name(ref.name, field="model.name"), 0
            if ref.WhichOneof("selector"):
                number = (await resolve(writing, ref)).version
            elif not await writing.newest_number(model):
                raise NotFound(f"There is no model {model}.", reason="MODEL_NOT_FOUND", fix="See `lepton models`.")
            before = (await writing.tags(model)).get(number, {})
            if len({*before, key}) > _MAX_TAGS:
                raise InvalidInput.of_field("key", f"is one more than {_MAX_TAGS} tags")
            await writing.set_tag(model, number, key, value or None)
            after = (await writing.tags(model)).get(number, {})
            if after != before:
                change = {"version": number, "tags": {key: before.get(key)}}, {"version": number, "tags": {key: value}}
                await writing.record(AuditEntry(actor, "set_tag", model, before=change[0], after=change[1]))
        return registry_pb2.SetTagResponse(tags=after)


def _token(model: str, version: int) -> str:
    return base64.urlsafe_b64encode(f"{model} {version}".encode()).decode()


def _read_token(token: str) -> tuple[str, int] | None:
    if not token:
        return None
    try:
        model, _, version = base64.urlsafe_b64decode(token).decode().partition(" ")
        return model, int(version)
    except (binascii.Error, ValueError):
        raise InvalidInput.of_field("page_token", "is not one of an answer") from None
