"""Files that a web server lists as a data set: found in a JSON, HTML or text listing, fetched into a folder once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from lepton_ai.datasets.dataset import Dataset
from lepton_ai.datasets.fetching import Fetcher, Limits, shown
from lepton_ai.datasets.index_page import Listed, parse_listing
from lepton_ai.datasets.lineage import Lineage
from lepton_ai.datasets.media import kind_of_path
from lepton_ai.datasets.memory import from_rows
from lepton_ai.datasets.parallel import in_order
from lepton_ai.datasets.schema import Schema
from lepton_ai.datasets.spool import default_cache_directory
from lepton_ai.errors import InvalidInput, ResourceExhausted

_MAX_DEPTH = 4
_MAX_PAGES = 1_000


def read_listing(
    url: str,
    *,
    target: str | None = None,
    cache_directory: str | Path | None = None,
    limits: Limits | None = None,
    timeout_s: float = 3600.0,
    workers: int = 4,
) -> Dataset:
    """A data set of the images or sounds that a page at `url` lists; they are fetched and kept in `cache_directory`.

    The page is an HTML index (folders below it are followed and become the label), JSON (a list of addresses, or of
    objects of which one field is an address and the others are columns), or text with one address a line. Files that
    are there already are not fetched again, one that broke off is taken up where it ended. A JSON list of objects
    without addresses becomes rows. Raises InvalidInput for a listing that is none, NotFound, Unavailable,
    ResourceExhausted for what is above `limits`, and DeadlineExceeded after `timeout_s`.
    """
    limits = limits or Limits()
    root = Path(cache_directory) if cache_directory is not None else default_cache_directory() / "fetched"
    fetcher = Fetcher(limits, deadline=time.monotonic() + timeout_s)
    listing = _collect(fetcher, url, limits)
    name = _name(url)
    source = Lineage(source=f"listing {shown(url)}")
    if listing.rows is not None:
        data = from_rows(listing.rows, target=target, name=name, cache_directory=root)
        return Dataset(data.table, data.schema, name=name, lineage=source)
    folder = root / hashlib.sha256(url.encode()).hexdigest()[:16]
    fetch = _Fetch(fetcher, folder)
    fetched = in_order(fetch, listing.files, workers=workers)
    rows = [dict(row) for row in fetched]
    table = from_rows(rows, name=name).table
    if target is None and "label" in table.column_names:
        target = "label"
    return Dataset(table, Schema.infer(table, target, root=str(folder.absolute())), name=name, lineage=source)


@dataclass(frozen=True)
class _Fetch:
    """Fetches one file; gives its row, in which the path takes the place of the address."""

    fetcher: Fetcher
    folder: Path

    def __call__(self, file: Listed) -> Mapping[str, Any]:
        name = local_name(file.url)
        self.fetcher.fetch(file.url, self.folder / name)
        return {str(kind_of_path(name)): name, **file.columns}


@dataclass(frozen=True)
class _Collected:
    files: list[Listed]
    rows: list[dict[str, Any]] | None = None


def _collect(fetcher: Fetcher, url: str, limits: Limits) -> _Collected:
    """Everything that the page lists, folders included, in order. Raises InvalidInput when that is nothing."""
    files: list[Listed] = []
    waiting: list[tuple[str, int]] = [(url, 0)]
    seen = {url}
    while waiting:
        page_url, depth = waiting.pop(0)
        page = fetcher.read(page_url, max_bytes=limits.max_listing_bytes)
        listing = parse_listing(page.content, page.content_type, page.url, root=url)
        if listing.rows is not None and depth == 0:
            return _Collected([], listing.rows)
        files += [file for file in listing.files if kind_of_path(urlsplit(file.url).path) is not None]
        if len(files) > limits.max_files:
            raise ResourceExhausted(f"{shown(url)} lists more than {limits.max_files} files.", fix="Raise max_files.")
        for folder in listing.folders if depth < _MAX_DEPTH else ():
            if folder not in seen and len(seen) < _MAX_PAGES:
                seen.add(folder)
                waiting.append((folder, depth + 1))
    return _Collected(_checked(files, url))


def _checked(files: list[Listed], url: str) -> list[Listed]:
    unique = list({file.url: file for file in files}.values())
    kinds = {kind_of_path(urlsplit(file.url).path) for file in unique}
    if not unique:
        raise InvalidInput(
            f"{shown(url)} lists no images or sounds.", reason="EMPTY_SET", fix="Check the address in a browser."
        )
    if len(kinds) > 1:
        raise InvalidInput(f"{shown(url)} lists images and sounds.", fix="List them apart.")
    return unique


def local_name(url: str) -> str:
    """A file name for an address: readable, and different for different addresses."""
    path = PurePosixPath(unquote(urlsplit(url).path))
    stem = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in path.stem)[:60]
    return f"{stem}-{hashlib.sha256(url.encode()).hexdigest()[:16]}{path.suffix.lower()}"


def _name(url: str) -> str:
    parts = urlsplit(url)
    path = PurePosixPath(unquote(parts.path))
    return path.stem or parts.hostname or "listing"
