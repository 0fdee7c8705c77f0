"""Finds the encoding of a text file where it is certain: UTF-8, UTF-16 or UTF-32 with a mark, GB18030 with Chinese."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from pathlib import Path

import pyarrow as pa

from lepton_ai.errors import InvalidInput

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins like that of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SCAN_BYTES = 1024 * 1024
_MOST_COUNTED = 1_000_000

_COMMON_SHARE = 0.7
"""Of the characters of a Chinese text, how many are among the 3,755 common ones of GB 2312's first level at least."""
_GLUED_SHARE = 0.3
"""Of the runs of Chinese characters, how many touch a Latin letter at most: such as in DESCRIÇÃO read as Chinese."""
_ENOUGH_CHARACTERS = 8
_FIX = (
    "Save the file as UTF-8, or give its encoding: encoding='cp1252' for Western European programs of Windows, "
    "'cp1251' for Russian, 'cp932' for Japanese, 'cp949' for Korean, 'big5' or 'gb18030' for Chinese."
)


def find_encoding(file: Path) -> str:
    """The encoding of the whole content. Raises InvalidInput when it is not certain."""
    with pa.input_stream(str(file), compression="detect") as stream:
        start = stream.read(4096)
    for mark, encoding in _BOMS:
        if start.startswith(mark):
            return encoding
    if b"\0" in start:
        fix = "Give its encoding, for instance encoding='utf-16-le'."
        raise InvalidInput(f"{file.name} holds zero bytes, as UTF-16 does.", reason="UNKNOWN_ENCODING", fix=fix)
    if _decoded(file, "utf-8") is not None:
        return "utf-8"
    counted = _decoded(file, "gb18030")
    if counted is not None and counted.is_chinese:
        return "gb18030"
    raise InvalidInput(
        f"{file.name} is neither UTF-8 nor, for certain, GB18030: its encoding is not known.",
        reason="UNKNOWN_ENCODING",
        fix=_FIX,
    )


class _Counted:
    """Characters beyond ASCII of a text that was decoded as GB18030."""

    def __init__(self) -> None:
        self.characters: Counter[str] = Counter()
        self._runs = self._glued_runs = self._total = 0

    def add(self, text: str) -> None:
        """Counts some more text, up to a million characters."""
        if self._total > _MOST_COUNTED:
            return
        for run in re.finditer(r"[^\x00-\x7f]+", text):
            self.characters.update(run.group())
            self._total += len(run.group())
            around = text[run.start() - 1 : run.start()] + text[run.end() : run.end() + 1]
            self._runs += 1
            self._glued_runs += bool(re.search("[A-Za-z]", around))

    @property
    def is_chinese(self) -> bool:
        """Whether this cannot well be a text in another encoding that happens to decode."""
        rows = {each: each.encode("gb18030") for each in self.characters}
        letters = {each: code for each, code in rows.items() if not 0xA1 <= code[0] <= 0xA3 or len(code) != 2}
        if not letters:
            return bool(rows) and not self._glued_runs  # full-width signs alone
        total = sum(self.characters[each] for each in letters)
        common = {each: code for each, code in letters.items() if 0xB0 <= code[0] <= 0xD7 and code[1] >= 0xA1}
        if sum(self.characters[each] for each in common) < _COMMON_SHARE * total:
            return False  # Latin, Japanese in Shift-JIS, Big5
        if self._glued_runs > _GLUED_SHARE * self._runs:
            return False
        if len(common) >= _ENOUGH_CHARACTERS and all(code[0] <= 0xC8 for code in common.values()):
            return False  # Korean
        return len(common) < 4 or any(byte < 0xC0 for code in common.values() for byte in code)  # Cyrillic capitals


def _decoded(file: Path, encoding: str) -> _Counted | None:
    """What the whole content holds; None when it is not of this encoding."""
    decoder, counted = codecs.getincrementaldecoder(encoding)(), _Counted()
    try:
        with pa.input_stream(str(file), compression="detect") as stream:
            while block := stream.read(_SCAN_BYTES):
                text = decoder.decode(block)
                if encoding != "utf-8":
                    counted.add(text)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return None
    return counted
