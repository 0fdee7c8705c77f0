"""Databases of earlier releases come to this release's schema, whole or not at all. The samples are of real ones."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import services.registry.database.migrations
from lepton_ai.errors import FailedPrecondition
from services.registry.database import schema
from services.registry.database.sql_store import SqlStore, open_sqlite
from services.registry.database.store import RouteTarget
from services.registry.rollouts.record import State

HERE = Path(__file__).parent
CONNECT_AND_STALL = """
import asyncio, sys, time
from pathlib import Path
from services.registry.database import sqlite

def migrate_and_stall(connection):
    migrate(connection)
    print("migrated", flush=True)
    time.sleep(60)

migrate, sqlite.migrate = sqlite.migrate, migrate_and_stall
asyncio.run(sqlite.Sqlite.open(Path(sys.argv[1])))
"""


def database_of(schema_number: int, path: Path) -> Path:
    """What the release with this schema left behind."""
    database = sqlite3.connect(path)
    database.executescript((HERE / f"schema_{schema_number}.sql").read_text(encoding="utf-8"))
    database.close()
    return path


def tables(path: Path) -> set[str]:
    database = sqlite3.connect(path)
    found = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    database.close()
    return found


async def check_found_again(store: SqlStore) -> None:
    async with store.reading() as reading:
        assert list(await reading.models()) == ["resnet", "sentiment"]
        versions = await reading.versions("resnet")
        assert [version.version for version in versions] == [3, 2, 1]
        assert versions[0].description == "猫 3"
        assert [file.path for file in versions[0].files] == ["lepton.yaml", "model.onnx"]
        assert await reading.version_of_digest("resnet", versions[2].digest) == versions[2]
        assert await reading.aliases("resnet") == {"best": 3, "production": 2}
        deployment = await reading.deployment("resnet")
        assert deployment is not None
        assert (deployment.generation, deployment.versions) == (4, (2, 3))
        assert deployment.routes == (RouteTarget("production", 2, 95), RouteTarget("production", 3, 5))


@pytest.mark.parametrize("schema_number", [1, 2])
async def test_a_database_of_an_earlier_release_is_found_again_whole(tmp_path: Path, schema_number: int) -> None:
    store = await open_sqlite(database_of(schema_number, tmp_path / "registry.sqlite"))
    await check_found_again(store)
    async with store.reading() as reading:
        rollouts = await reading.rollouts("resnet")
        live = await reading.live_rollout("resnet")
    await store.close()
    if schema_number == 1:
        assert rollouts == []
        return
    assert [rollout.state for rollout in rollouts] == [State.RUNNING, State.PROMOTED]
    assert live is not None
    assert (live.id, live.plan.shares, live.passed_s, live.judge) == (2, (5, 25, 50), 12.5, {"looks": 2})


async def test_the_audit_trail_is_kept_and_goes_on_refusing_changes(tmp_path: Path) -> None:
    path = database_of(2, tmp_path / "registry.sqlite")
    await (await open_sqlite(path)).close()
    database = sqlite3.connect(path)
    assert database.execute("SELECT count(*) FROM audit").fetchone() == (5,)
    with pytest.raises(sqlite3.DatabaseError, match="append-only"):
        database.execute("DELETE FROM audit")
    database.close()


@pytest.mark.parametrize("schema_number", [0, 1, 2])
async def test_the_tables_are_what_the_schema_says(tmp_path: Path, schema_number: int) -> None:
    path = tmp_path / "registry.sqlite"
    if schema_number:
        database_of(schema_number, path)
    await (await open_sqlite(path)).close()
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


def test_there_is_one_newest_revision_and_one_way_to_it() -> None:
    scripts = ScriptDirectory(str(Path(services.registry.database.migrations.__file__).parent))
    assert len(scripts.get_heads()) == 1
    assert [script for script in scripts.walk_revisions() if script.is_branch_point or script.is_merge_point] == []


async def test_a_process_killed_in_the_middle_of_a_migration_changes_nothing(tmp_path: Path) -> None:
    path = database_of(2, tmp_path / "registry.sqlite")
    before = tables(path)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CONNECT_AND_STALL, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 60) == b"migrated\n"
    process.kill()
    await process.communicate()
    assert tables(path) == before
    store = await open_sqlite(path)
    await check_found_again(store)
    await store.close()


async def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    path = database_of(2, tmp_path / "registry.sqlite")
    await (await open_sqlite(path)).close()
    content = path.read_bytes()
    await (await open_sqlite(path)).close()
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE alembic_version SET version_num = 'of the future'",
        "DELETE FROM alembic_version; UPDATE schema_version SET version = 99",
    ],
)
async def test_a_database_of_a_later_release_is_refused_and_left_alone(tmp_path: Path, change: str) -> None:
    path = tmp_path / "registry.sqlite"
    await (await open_sqlite(path)).close()
    database = sqlite3.connect(path)
    database.executescript(change)
    database.close()
    content = path.read_bytes()
    with pytest.raises(FailedPrecondition, match="later one") as caught:
        await open_sqlite(path)
    assert caught.value.reason == "DATABASE_OF_LATER_RELEASE"
    assert path.read_bytes() == content


async def test_releases_before_find_a_schema_that_they_refuse(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    await (await open_sqlite(path)).close()
    database = sqlite3.connect(path)
    assert database.execute("SELECT max(version) FROM schema_version").fetchone() == (3,)
    database.close()
