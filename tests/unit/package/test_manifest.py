"""Manifests: safe paths, bounds, and a digest that means content."""

from __future__ import annotations

import hashlib
import os.path
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.errors import InvalidInput, LeptonError, ResourceExhausted
from lepton_ai.package import PackageLimits, check_manifest, check_path, manifest_digest
from lepton_ai.v1.registry_pb2 import Manifest, PackageFile

SHA = hashlib.sha256(b"x").hexdigest()
LIMITS = PackageLimits(max_files=5, max_file_bytes=100, max_package_bytes=150)


def manifest(*files: PackageFile, model: str = "m") -> Manifest:
    described = PackageFile(path="lepton.yaml", size_bytes=1, sha256=SHA)
    return Manifest(model=model, files=[described, *files])


def file(path: str, size: int = 1, sha256: str = SHA) -> PackageFile:
    return PackageFile(path=path, size_bytes=size, sha256=sha256)


@pytest.mark.parametrize("path", ["a", "a/b.txt", "猫.jpg", "标签/labels.txt", "a b", "a..b", "x" * 255])
def test_plain_paths_are_accepted(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "", ".", "..", "../x", "a/../b", "a/./b", "/a", "a/", "a//b", "a\\b", "a\0b", "a\nb", ".hidden", "a/.hidden/b",
        "x" * 256, "猫" * 86, "a/" * 600 + "b", "/".join("a" * 17), "‥/x", "．．/x", "a／b", "a＼b", "\ud800",
    ],
)  # fmt: skip
def test_paths_that_could_leave_the_package_are_refused(path: str) -> None:
    with pytest.raises(InvalidInput):
        check_path(path)


@given(st.text(alphabet=st.sampled_from("./\\\0a‥．%~:猫\u202e"), max_size=12) | st.text(max_size=40))
def test_an_accepted_path_stays_below_its_directory(path: str) -> None:
    try:
        check_path(path)
    except InvalidInput:
        return
    joined = os.path.normpath(os.path.join("/root/package", path))  # noqa: PTH118 - the meaning of the text counts
    assert joined == f"/root/package/{path}"


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (manifest(model="../m"), "manifest.model"),
        (manifest(file("../x")), "manifest.files[1].path"),
        (manifest(file("a", sha256="xyz")), "manifest.files[1].sha256"),
        (manifest(file("a", sha256=SHA.upper())), "manifest.files[1].sha256"),
        (manifest(file("a"), file("a")), "manifest.files[2].path"),
        (manifest(file("a"), file("a/b")), "manifest.files[2].path"),
        (manifest(file("a", size=2)), "manifest.files[1].size_bytes"),
        (Manifest(model="m", files=[file("a")]), "manifest.files"),
    ],
)
def test_what_is_wrong_in_a_manifest_is_named(bad: Manifest, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_manifest(bad, limits=LIMITS)
    assert caught.value.fields[0].field == field


@pytest.mark.parametrize(
    ("large", "reason"),
    [
        (manifest(*(file(str(n)) for n in range(10_000))), "TOO_MANY_FILES"),
        (manifest(file("a", size=101, sha256="0" * 64)), "FILE_TOO_LARGE"),
        (manifest(file("a", size=2**64 - 1, sha256="0" * 64)), "FILE_TOO_LARGE"),
        (manifest(file("a", 80, "0" * 64), file("b", 80, "1" * 64)), "PACKAGE_TOO_LARGE"),
    ],
)
def test_what_is_over_a_limit_is_told_apart_from_what_is_wrong(large: Manifest, reason: str) -> None:
    with pytest.raises(ResourceExhausted) as caught:
        check_manifest(large, limits=LIMITS)
    assert caught.value.reason == reason


def test_errors_of_huge_paths_are_short() -> None:
    with pytest.raises(LeptonError) as caught:
        check_manifest(manifest(file("a/" * 100_000)), limits=LIMITS)
    assert len(str(caught.value)) < 200


paths = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=5), unique=True, min_size=1, max_size=5)


@given(paths=paths, seed=st.randoms())
def test_the_digest_does_not_depend_on_the_order_of_files(paths: list[str], seed: random.Random) -> None:
    files = [file(path) for path in paths]
    shuffled = list(files)
    seed.shuffle(shuffled)
    assert manifest_digest(manifest(*files)) == manifest_digest(manifest(*shuffled))


@given(first=paths, second=paths)
def test_the_digest_tells_packages_apart(first: list[str], second: list[str]) -> None:
    same = set(first) == set(second)
    one, other = (manifest_digest(manifest(*map(file, each))) for each in (first, second))
    assert (one == other) == same


def test_the_digest_depends_on_name_path_size_and_hash() -> None:
    variants = [
        manifest(file("a")), manifest(file("a"), model="n"), manifest(file("b")),
        manifest(file("a", 2)), manifest(file("a", 1, "0" * 64)),
    ]  # fmt: skip
    assert len({manifest_digest(variant) for variant in variants}) == len(variants)
