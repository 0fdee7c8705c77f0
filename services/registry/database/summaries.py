"""Many models at once, without their files: in a few queries, however many they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import func, select

from services.registry.catalogue.record import VersionState
from services.registry.database import schema
from services.registry.database.rows import version_record
from services.registry.database.store import VersionSummary
from services.registry.database.variants.reading import VariantReading

_NO_TAGS: Mapping[str, str] = {}


class SummaryReading(VariantReading):
    """Queries of models' names, and of what is to be said of each, in one transaction."""

    async def page_of_models(self, *, after: str, limit: int) -> Sequence[str]:
        versions = schema.versions
        query = select(versions.c.model).where(versions.c.model > after, versions.c.state != VersionState.DELETED.value)
        page = query.distinct().order_by(versions.c.model).limit(limit)
        return list((await self._connection.execute(page)).scalars())

    async def summaries(self, models: Collection[str]) -> Mapping[str, Sequence[VersionSummary]]:
        versions, files, tags = schema.versions, schema.files, schema.tags
        total = func.sum(files.c.size_bytes).label("total")
        query = select(files.c.model, files.c.version, total).where(files.c.model.in_(models))
        summed = await self._connection.execute(query.group_by(files.c.model, files.c.version))
        sizes = {(model, version): int(size_bytes) for model, version, size_bytes in summed.all()}
        tagged: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
        for row in await self._connection.execute(select(tags).where(tags.c.model.in_(models)).order_by(tags.c.key)):
            tagged[row.model, row.version][row.key] = row.value
        variants = await self.variants(models)
        listed = select(versions).where(versions.c.model.in_(models), versions.c.state != VersionState.DELETED.value)
        found: dict[str, list[VersionSummary]] = defaultdict(list)
        rows = await self._connection.execute(listed.order_by(versions.c.version.desc()))
        for row in rows.all():  # at once: one by one takes twice as long
            key = model, _ = row[:2]
            record = version_record(row, (), tagged.get(key, _NO_TAGS), variants.get(key, ()))
            found[model].append(VersionSummary(record, sizes.get(key, 0)))
        return found

    async def aliases_of(self, models: Collection[str]) -> Mapping[str, Mapping[str, int]]:
        table = schema.aliases
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for row in await self._connection.execute(select(table).where(table.c.model.in_(models))):
            found[row.model][row.alias] = row.version
        return found
