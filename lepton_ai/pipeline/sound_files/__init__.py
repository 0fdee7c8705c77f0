"""Sound files as they are found: what they declare, where they end, and the small repairs that decoders need.

`read_parts` is the entry: it finds the sounds in a file, past tags and zeros, and measures each before anything is
decoded. One module for each format; all they change are headers, never samples.
"""

from lepton_ai.pipeline.sound_files.part import BrokenHeader, SoundPart, TooManySounds, UnknownFormat, UnknownLength
from lepton_ai.pipeline.sound_files.parts import MAX_SOUNDS, read_parts

__all__ = ["MAX_SOUNDS", "BrokenHeader", "SoundPart", "TooManySounds", "UnknownFormat", "UnknownLength", "read_parts"]
