"""Versions in a store without their files, for tests of what is made of them."""

from __future__ import annotations

import hashlib

from services.registry.database.store import FileRecord, NewVersion, Store, VersionRecord


def new_version(model: str = "cat", content: str = "1") -> NewVersion:
    digest = hashlib.sha256(f"{model}{content}".encode()).hexdigest()
    return NewVersion(model, digest, "猫", (FileRecord("a.onnx", 3, digest), FileRecord("lepton.yaml", 2, "0" * 64)))


async def add_versions(store: Store, model: str, count: int) -> list[VersionRecord]:
    async with store.writing() as writing:
        return [await writing.add_version(new_version(model, str(number))) for number in range(count)]
