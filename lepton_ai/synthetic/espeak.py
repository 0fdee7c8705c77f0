"""Speaks words with the espeak-ng library and writes the samples to standard output. Run as a script, on its own.

The library keeps one global state and is not made to be loaded into a training process, hence a process for it. Only
the standard library is imported. Standard input: JSON {"library", "data", "requests": [[voice, text, settings], ...]};
standard output: the sample rate in Hz, then for every request the number of its bytes and 16-bit samples, all integers
as 32 bits little-endian. Source: espeak-ng's speak_lib.h.
"""

from __future__ import annotations

import ctypes
import json
import struct
import sys
from typing import Any

# espeak_PARAMETER and other constants of speak_lib.h.
PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4}
_SYNCHRONOUS = 2
_DO_NOT_EXIT = 0x8000
_CHARS_UTF8 = 1
_POSITION_CHARACTER = 1
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Speaker:
    """The library, ready to speak. Raises OSError when it cannot be loaded or has no data."""

    def __init__(self, library: str, data: str | None) -> None:
        self._library = ctypes.CDLL(library)
        path = data.encode() if data else None
        self.rate_hz = int(self._library.espeak_Initialize(_SYNCHRONOUS, 0, path, _DO_NOT_EXIT))
        if self.rate_hz <= 0:
            raise OSError("espeak-ng does not find its data")
        self._heard = bytearray()
        self._callback = _CALLBACK(self._hear)  # kept, since the library calls it
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, voice: str, text: str, settings: dict[str, int]) -> bytes:
        """The samples of a text. Raises OSError for a voice that there is not."""
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise OSError(f"espeak-ng has no voice {voice}")
        for name, value in settings.items():
            self._library.espeak_SetParameter(PARAMETERS[name], value, 0)
        self._heard.clear()
        if hasattr(self._library, "espeak_ng_SetRandSeed"):
            self._library.espeak_ng_SetRandSeed(1)  # else the time of day decides about the noise in some voices
        encoded = text.encode()
        size = ctypes.c_size_t(len(encoded) + 1)
        self._library.espeak_Synth(encoded, size, 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None)
        self._library.espeak_Synchronize()
        return bytes(self._heard)

    def _hear(self, samples: Any, count: int, _events: int | None) -> int:
        if samples and count > 0:
            self._heard += ctypes.string_at(samples, 2 * count)
        return 0


def main() -> None:
    """Answer the one document on standard input; an error is one line on standard error and exit status 1."""
    document = json.load(sys.stdin)
    out = sys.stdout.buffer
    try:
        speaker = Speaker(document["library"], document["data"])
        out.write(struct.pack("<I", speaker.rate_hz))
        for voice, text, settings in document["requests"]:
            samples = speaker.speak(voice, text, settings)
            out.write(struct.pack("<I", len(samples)) + samples)
    except OSError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
