"""Files are recognised by their first bytes."""

from __future__ import annotations

import pytest

from lepton_ai.datasets.media import kind_of_bytes


@pytest.mark.parametrize("container", [b"RIFF", b"RF64", b"BW64"])
def test_wav_files_of_any_container_are_sounds(container: bytes) -> None:
    assert kind_of_bytes(container + bytes(4) + b"WAVEfmt ") == "sound"


@pytest.mark.parametrize("start", ["fffb", "fffa", "fff3", "fff2", "ffe3", "ffe2"])
def test_mp3_frames_of_any_version_with_and_without_a_checksum_are_sounds(start: str) -> None:
    assert kind_of_bytes(bytes.fromhex(start) + bytes(20)) == "sound"


def test_pictures_and_texts_are_no_sounds() -> None:
    assert kind_of_bytes(b"RIFF" + bytes(4) + b"WEBPVP8 ") == "image"
    assert kind_of_bytes(b"\xff\xd8\xff\xe0" + bytes(20)) == "image"
    assert kind_of_bytes("\ufeffa text".encode("utf-16-le")) is None
