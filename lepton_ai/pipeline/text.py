"""Text operations: Unicode normalisation, tokens to ids, texts as BYTES tensors."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from lepton_ai.pipeline.operation import UNKNOWN, Call, FileName, Misfit, Name, Spec, ValueOperation, expect
from lepton_ai.pipeline.segmentation import split_chinese
from lepton_ai.pipeline.subwords import split_subwords
from lepton_ai.pipeline.vocabulary import read_vocabulary, split_characters, split_words

# Control characters except tab and line ends, byte order mark, and the bidirectional controls that can disguise a text.
_INVISIBLE = dict.fromkeys(
    (
        *range(0x00, 0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0x85), *range(0x86, 0xA0),
        0xFEFF, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A),
    )
)  # fmt: skip
SPLITTERS = {"word": split_words, "char": split_characters, "jieba": split_chinese}
"""How a text becomes tokens, by level, where that does not depend on the vocabulary."""
# UAX #15 "stream-safe text": no language needs more marks on one letter, and sorting a longer run takes quadratic time.
_MAX_COMBINING_RUN = 30


class NormalizeText(ValueOperation):
    """Brings a text into one Unicode form, without control characters, within a length."""

    name: ClassVar[str] = "normalize_text"
    form: Literal["NFC", "NFKC"] = Field(
        default="NFC", description="NFKC also unifies full-width and styled characters."
    )
    lower: bool = Field(default=False, description="Make all letters lower case.")
    strip_control: bool = Field(default=True, description="Drop control and bidirectional control characters.")
    collapse_spaces: bool = Field(
        default=False, description="Every run of white space becomes one space; none at the ends."
    )
    max_bytes: Annotated[int, Field(ge=1, le=1 << 20)] = Field(
        default=65_536, description="Longer inputs, in UTF-8 bytes, are refused."
    )
    max_characters: Annotated[int, Field(ge=1, le=1 << 20)] = Field(
        default=65_536, description="A longer result is cut and flagged TRUNCATED_TEXT."
    )

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        expect(given[0], "text")
        return given

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        text: str = values[0]
        size_bytes = len(text) if text.isascii() else len(text.encode())
        if size_bytes > self.max_bytes:
            raise call.refusal(
                f"is {size_bytes} bytes long, at most {self.max_bytes} are allowed",
                reason="TEXT_TOO_LONG",
                fix="Send a shorter text.",
            )
        text = self._normalized(text, call)
        if len(text) > self.max_characters:
            call.flag("TRUNCATED_TEXT", f"The text was cut to {self.max_characters} characters.")
            text = text[: self.max_characters]
        return (text,)

    def _normalized(self, text: str, call: Call) -> str:
        if not text.isascii():
            _check_combining(text, call)
            text = unicodedata.normalize(self.form, text)
        if self.lower:
            text = unicodedata.normalize(self.form, text.lower())
        if self.strip_control:
            text = text.translate(_INVISIBLE)
        return " ".join(text.split()) if self.collapse_spaces else text


class Tokenize(ValueOperation):
    """Splits a text into tokens and gives their ids in a vocabulary."""

    name: ClassVar[str] = "tokenize"
    file_parameters: ClassVar[tuple[str, ...]] = ("vocabulary",)
    vocabulary: FileName = Field(description="File with one token a line, UTF-8; the line's number from 0 is the id.")
    level: Literal["word", "char", "jieba", "subword"] = Field(
        default="word",
        description="Split at white space and punctuation, Chinese into characters (word); everywhere (char); Chinese "
        "into words (jieba); words further into the vocabulary's longest pieces, ## in front of all but the first "
        "(subword).",
    )
    max_length: Annotated[int, Field(ge=1, le=65_536)] = Field(default=128, description="Most tokens that are kept.")
    pad: bool = Field(default=True, description="Fill up to max_length with the padding token.")
    unknown: str = Field(default="[UNK]", description="Token for everything outside the vocabulary.")
    padding: str = Field(default="[PAD]", description="Token to fill up with.")
    start: str | None = Field(default=None, description="Token put in front, for instance [CLS].")
    end: str | None = Field(default=None, description="Token put behind, for instance [SEP].")
    mask: Name | None = Field(default=None, description="Name for a second tensor: 1 for tokens, 0 for padding.")
    _ids: Mapping[str, int] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _room_for_text(self) -> Tokenize:
        if self.max_length <= (self.start is not None) + (self.end is not None):
            raise ValueError("max_length leaves no room for the text")
        return self

    def with_files(self, files: Mapping[str, bytes]) -> Self:
        ids = read_vocabulary(files[self.vocabulary])
        needed = {"unknown": self.unknown, "start": self.start, "end": self.end}
        if self.pad:
            needed["padding"] = self.padding
        for parameter, token in needed.items():
            if token is not None and token not in ids:
                raise Misfit(parameter, f"the token {token[:32]!r} is not in the vocabulary")
        loaded = self.model_copy()
        loaded._ids = ids
        return loaded

    def writes(self, anonymous: str) -> tuple[str, ...]:
        ids = self.output or anonymous
        return (ids,) if self.mask is None else (ids, self.mask)

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        expect(given[0], "text")
        if self.mask is not None and self.mask == self.output:
            raise Misfit("mask", "must not be the name of the ids")
        spec = Spec("tensor", "INT64", (self.max_length if self.pad else UNKNOWN,))
        return (spec,) if self.mask is None else (spec, spec)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        tokens = self._split(values[0])
        room = self.max_length - (self.start is not None) - (self.end is not None)
        if len(tokens) > room:
            call.flag("TRUNCATED_TEXT", f"The text has {len(tokens)} tokens; the first {room} are used.")
            tokens = tokens[:room]
        unknown = self._ids[self.unknown]
        ids = [self._ids.get(token, unknown) for token in tokens]
        if self.start is not None:
            ids.insert(0, self._ids[self.start])
        if self.end is not None:
            ids.append(self._ids[self.end])
        return self._arrays(ids)

    def _split(self, text: str) -> list[str]:
        if self.level != "subword":
            return SPLITTERS[self.level](text)
        return [piece for word in split_words(text) for piece in split_subwords(word, self._ids) or [self.unknown]]

    def _arrays(self, ids: list[int]) -> tuple[Any, ...]:
        length = self.max_length if self.pad else len(ids)
        array = np.full(length, self._ids[self.padding] if self.pad else 0, dtype=np.int64)
        array[: len(ids)] = ids
        if self.mask is None:
            return (array,)
        mask = np.zeros(length, dtype=np.int64)
        mask[: len(ids)] = 1
        return (array, mask)


class TextTensor(ValueOperation):
    """Hands a text on as a BYTES tensor with one element, for models that read strings."""

    name: ClassVar[str] = "text_tensor"

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        expect(given[0], "text", "category")
        return (Spec("tensor", "BYTES", (1,)),)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        if values[0] is None:
            raise call.refusal("is missing", reason="MISSING_VALUE", fix="Send it, or add an impute step.")
        array = np.empty(1, dtype=np.object_)
        array[0] = values[0].encode()
        return (array,)


def _check_combining(text: str, call: Call) -> None:
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run > _MAX_COMBINING_RUN:
            raise call.refusal(
                f"has more than {_MAX_COMBINING_RUN} combining marks in a row",
                reason="TOO_MANY_MARKS",
                fix="Send a text as people write it.",
            )
