"""Listings of a real web server: the three forms, and what happens when it fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_ai.datasets import Limits, read_folder, read_listing
from lepton_ai.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from tests.integration.datasets.web import Handler, Web, serve

FILES = {"猫/一 号.png": b"cat one", "猫/b.png": b"cat b", "dogs/c.jpg": b"dog"}
BIG = bytes(range(256)) * 4096


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / "web" / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "web" / "photos" / "readme.txt").write_text("no photo")
    return tmp_path / "web"


@pytest.fixture
def web(root: Path) -> Iterator[Web]:
    with serve(root) as web:
        yield web


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def one_file(root: Path, content: bytes = b"x") -> None:
    (root / "one.png").write_bytes(content)
    (root / "one.json").write_text('["one.png"]')


def test_an_index_page_with_folders_is_a_labelled_data_set(web: Web, root: Path, cache: Path) -> None:
    data = read_listing(f"{web.url}/photos/", cache_directory=cache)
    assert {(row["label"], row["image"]) for row in data} == {("猫", b"cat one"), ("猫", b"cat b"), ("dogs", b"dog")}
    assert data.classes == read_folder(root / "photos").classes
    assert data.schema.target == data.schema["label"]


def test_json_objects_bring_their_columns(web: Web, root: Path, cache: Path) -> None:
    entries = [{"url": f"photos/{name}", "label": name.split("/")[0], "size": n + 0.5} for n, name in enumerate(FILES)]
    (root / "list.json").write_text(json.dumps({"files": entries}))
    data = read_listing(f"{web.url}/list.json", cache_directory=cache)
    assert [row["image"] for row in data] == list(FILES.values())
    assert [row["size"] for row in data] == [0.5, 1.5, 2.5]
    assert data.classes == ("dogs", "猫")


def test_a_text_names_one_address_a_line(web: Web, root: Path, cache: Path) -> None:
    (root / "list.txt").write_text("# photos\nphotos/猫/b.png\tkitty\n\nphotos/dogs/c.jpg\tdog\n", encoding="utf-8")
    data = read_listing(f"{web.url}/list.txt", cache_directory=cache)
    assert [(row["label"], row["image"]) for row in data] == [("kitty", b"cat b"), ("dog", b"dog")]


def test_json_without_files_is_rows(web: Web, root: Path, cache: Path) -> None:
    (root / "rows.json").write_text(json.dumps([{"n": n, "label": "ab"[n % 2]} for n in range(10)]))
    data = read_listing(f"{web.url}/rows.json", cache_directory=cache)
    assert [row["n"] for row in data] == list(range(10))
    assert data.lineage.source == f"listing {web.url}/rows.json"


def test_what_is_there_is_not_fetched_again(web: Web, cache: Path) -> None:
    first = read_listing(f"{web.url}/photos/", cache_directory=cache)
    second = read_listing(f"{web.url}/photos/", cache_directory=cache)
    assert first.digest == second.digest
    assert web.count("/photos/dogs/c.jpg") == 1


def test_a_fetch_that_breaks_off_goes_on_where_it_ended(web: Web, root: Path, cache: Path) -> None:
    one_file(root, BIG)

    def break_off_then_serve_ranges(handler: Handler) -> bool:
        asked = handler.headers["Range"]
        if asked is None:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(BIG)))
            handler.send_header("ETag", '"v1"')
            handler.end_headers()
            handler.wfile.write(BIG[:300_000])
            handler.close_connection = True
            return True
        assert handler.headers["If-Range"] == '"v1"'
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        span = f"bytes {start}-{len(BIG) - 1}/{len(BIG)}"
        return handler.reply(206, BIG[start:], Content_Range=span, ETag='"v1"')

    web.answers["/one.png"] = break_off_then_serve_ranges
    data = read_listing(f"{web.url}/one.json", cache_directory=cache)
    assert data.row(0)["image"] == BIG
    assert [asked for path, asked in web.requests if path == "/one.png"] == [None, "bytes=300000-"]


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(web: Web, root: Path, cache: Path) -> None:
    one_file(root, BIG)
    answers = iter([(BIG[:1000], len(BIG)), (b"new content", 11)])

    def change(handler: Handler) -> bool:
        body, said = next(answers)
        handler.close_connection = True
        return handler.reply(200, body, Content_Length=str(said), ETag='"v1"')

    web.answers["/one.png"] = change
    assert read_listing(f"{web.url}/one.json", cache_directory=cache).row(0)["image"] == b"new content"


def test_a_busy_server_is_asked_again(web: Web, root: Path, cache: Path) -> None:
    one_file(root)
    busy = iter([503, 429])

    def answer(handler: Handler) -> bool:
        status = next(busy, None)
        return handler.reply(status) if status is not None else False

    web.answers["/one.png"] = answer
    assert read_listing(f"{web.url}/one.json", cache_directory=cache).row(0)["image"] == b"x"


def test_a_server_that_stays_broken_is_unavailable(web: Web, root: Path, cache: Path) -> None:
    one_file(root)
    web.answers["/one.png"] = lambda handler: handler.reply(500)
    with pytest.raises(Unavailable, match="answers 500, 4 times"):
        read_listing(f"{web.url}/one.json", cache_directory=cache)


@pytest.mark.parametrize(("status", "error"), [(404, NotFound), (403, PermissionDenied), (400, FailedPrecondition)])
def test_a_refusal_has_its_own_error(web: Web, root: Path, cache: Path, status: int, error: type[Exception]) -> None:
    one_file(root)
    web.answers["/one.png"] = lambda handler: handler.reply(status)
    with pytest.raises(error, match=r"one\.png answers"):
        read_listing(f"{web.url}/one.json", cache_directory=cache)
    assert web.count("/one.png") == 1


def test_errors_never_show_the_query_of_an_address(web: Web, cache: Path) -> None:
    with pytest.raises(NotFound) as caught:
        read_listing(f"{web.url}/none.json?token=secret", cache_directory=cache)
    assert "secret" not in str(caught.value)


def test_nobody_there_is_unavailable(web: Web, cache: Path, root: Path) -> None:
    with serve(root) as gone:
        url = gone.url
    with pytest.raises(Unavailable, match="cannot be reached"):
        read_listing(f"{url}/photos/", cache_directory=cache)


@pytest.mark.parametrize(
    "limits",
    [Limits(max_files=2), Limits(max_file_bytes=4), Limits(max_total_bytes=400), Limits(max_listing_bytes=20)],
    ids=["files", "file", "total", "listing"],
)
def test_more_than_allowed_is_refused(web: Web, cache: Path, limits: Limits) -> None:
    with pytest.raises(ResourceExhausted):
        read_listing(f"{web.url}/photos/", cache_directory=cache, limits=limits)


@pytest.mark.parametrize("drip", [True, False], ids=["a byte at a time", "nothing"])
def test_a_server_that_stalls_is_left_at_the_deadline(web: Web, root: Path, cache: Path, drip: bool) -> None:
    one_file(root)
    released = threading.Event()

    def stall(handler: Handler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        while not released.wait(0.02):
            if drip:
                handler.wfile.write(b"x")
        handler.close_connection = True
        return True

    web.answers["/one.png"] = stall
    try:
        with pytest.raises(DeadlineExceeded, match="time ran out"):
            read_listing(f"{web.url}/one.json", cache_directory=cache, timeout_s=0.5)
    finally:
        released.set()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}', "no list of addresses"),
        ("[1, 2]", "no list of addresses"),
        ("{oops", "not JSON"),
        ("[]", "lists no images"),
        ('["file:///etc/a.png"]', "not on the web"),
        ('["a.png", "b.wav"]', "images and sounds"),
    ],
)
def test_what_is_no_listing_says_so(web: Web, root: Path, cache: Path, content: str, message: str) -> None:
    (root / "list.json").write_text(content)
    with pytest.raises(InvalidInput, match=message):
        read_listing(f"{web.url}/list.json", cache_directory=cache)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "nonsense", "http://user:secret@localhost/"])
def test_only_the_web_is_read(url: str, cache: Path) -> None:
    with pytest.raises(InvalidInput, match="http://") as caught:
        read_listing(url, cache_directory=cache)
    assert "secret" not in str(caught.value)


def test_a_redirection_never_leads_to_a_file(web: Web, root: Path, cache: Path) -> None:
    one_file(root)
    web.answers["/one.png"] = lambda handler: handler.reply(302, Location=f"file://{root}/one.png")
    with pytest.raises(FailedPrecondition):
        read_listing(f"{web.url}/one.json", cache_directory=cache)
