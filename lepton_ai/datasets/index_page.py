"""Reads what a listing names: addresses of files and folders in HTML, JSON or text, and the columns beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from lepton_ai.datasets.media import kind_of_path
from lepton_ai.errors import InvalidInput

_LIST_KEYS = ("files", "items", "data", "results", "images", "sounds", "rows")
_URL_KEYS = ("url", "href", "file", "path", "image", "sound", "src", "file_name", "name")


@dataclass(frozen=True)
class Listed:
    """One file and what the listing says about it, such as its label."""

    url: str
    columns: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """What one page names. `rows` when it is JSON data without addresses of files."""

    files: list[Listed]
    folders: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] | None = None


def parse_listing(content: bytes, content_type: str, url: str, *, root: str) -> Listing:
    """A page as what it lists; relative addresses start from `url`. Raises InvalidInput when it is no listing.

    Without other columns a file's label is the folder that it lies in below `root`.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput("The listing is not UTF-8 text.", reason="BAD_LISTING", fix="Check the address.") from error
    start = text.lstrip()[:1]
    if "json" in content_type or start in ("[", "{"):
        return _json(text, url, root)
    if "html" in content_type or start == "<":
        return _html(text, url, root)
    return _text(text, url, root)


def _json(text: str, url: str, root: str) -> Listing:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("The listing is not JSON.", reason="BAD_LISTING", fix="Check the address.") from error
    if isinstance(document, dict):
        lists = [document[key] for key in _LIST_KEYS if isinstance(document.get(key), list)]
        document = lists[0] if lists else None
    if not isinstance(document, list) or not all(isinstance(entry, str | dict) for entry in document):
        raise InvalidInput(
            "The JSON listing is no list of addresses or objects.",
            reason="BAD_LISTING",
            fix=f"Answer a list, or an object with one as {', '.join(_LIST_KEYS)}.",
        )
    key = _url_key([entry for entry in document if isinstance(entry, dict)])
    if key is None and document and all(isinstance(entry, dict) for entry in document):
        return Listing([], rows=document)
    return Listing([_entry(entry, key, url, root) for entry in document])


def _url_key(entries: list[dict[str, Any]]) -> str | None:
    """The field of the first object that names an image or sound."""
    if not entries:
        return None
    first = entries[0]
    names = [*(key for key in _URL_KEYS if key in first), *first]
    return next((name for name in names if isinstance(first[name], str) and kind_of_path(first[name])), None)


def _entry(entry: str | dict[str, Any], key: str | None, url: str, root: str) -> Listed:
    if isinstance(entry, str):
        return _listed(entry, url, root)
    address = entry.get(key) if key is not None else None
    if not isinstance(address, str):
        raise InvalidInput(f"An object of the listing has no {key or 'address'}.", reason="BAD_LISTING")
    columns = {name: value for name, value in entry.items() if name != key}
    return Listed(_absolute(url, address), columns)


def _html(text: str, url: str, root: str) -> Listing:
    links = _Links()
    links.feed(text)
    files, folders = [], []
    for link in dict.fromkeys(links.found):
        address = _absolute(url, link.split("#")[0])
        if kind_of_path(urlsplit(address).path) is not None:
            files.append(_listed(address, url, root))
        elif address.endswith("/") and address.startswith(url) and address != url:
            folders.append(address)
    return Listing(files, folders)


def _text(text: str, url: str, root: str) -> Listing:
    lines = [line.strip() for line in text.splitlines()]
    return Listing([_listed(line, url, root) for line in lines if line and not line.startswith("#")])


def _listed(address: str, url: str, root: str) -> Listed:
    """A bare address, also `address TAB label`."""
    address, _, label = address.partition("\t")
    absolute = _absolute(url, address.strip())
    label = label.strip() or _folder_below(absolute, root)
    return Listed(absolute, {"label": label} if label else {})


def _folder_below(address: str, root: str) -> str:
    """The first folder below the one that the listing lies in; empty when the file lies beside it."""
    start = root[: root.rfind("/") + 1]
    if not address.startswith(start):
        return ""
    folder, slash, _ = urlsplit(address[len(start) :]).path.partition("/")
    return unquote(folder) if slash else ""


def _absolute(url: str, address: str) -> str:
    absolute = urljoin(url, address)
    if urlsplit(absolute).scheme not in ("http", "https"):
        raise InvalidInput("The listing names something that is not on the web.", reason="BAD_LISTING")
    return absolute


class _Links(HTMLParser):
    """The targets of all links of a page, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        wanted = {"a": "href", "img": "src"}.get(tag)
        links = [value.strip() for name, value in attributes if name == wanted and value]
        self.found += [link for link in links if urlsplit(link).scheme in ("", "http", "https")]
