"""Outputs to text: what a recogniser read or heard step by step (CTC), or the ids of tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, PrivateAttr

from lepton_ai.errors import FailedPrecondition
from lepton_ai.pipeline.operation import FileName, Misfit
from lepton_ai.pipeline.subwords import CONTINUES
from lepton_ai.pipeline.vocabulary import UNSPACED, read_vocabulary
from lepton_ai.postprocessing.answers import Answered, Text
from lepton_ai.postprocessing.scores import output_scores
from lepton_ai.postprocessing.step import OneOutputStep, Options, OutputSpec, ValuesStep, read_lines
from lepton_ai.tensors import Array

Token = Annotated[str, Field(min_length=1, max_length=128)]

_WIDE = rf"[{UNSPACED}\u3000-\u303f\uff00-\uffef]"
# A space between two characters of a script written without, or before a mark that ends a part of a sentence.
_NEEDLESS_SPACE = re.compile(rf"(?<={_WIDE}) (?={_WIDE})| (?=[.,!?;:])")

_OWN_ALPHABET = "Pack the alphabet that belongs to the model, without the blank; a space is a line that holds one."


class DecodeCtc(ValuesStep):
    """Reads scores [rows, steps, symbols] as text (CTC): the best of each step, repeats once, no blanks."""

    name: ClassVar[str] = "ctc"
    kind: ClassVar[str] = "text"
    takes_scores: ClassVar[bool] = True
    file_parameters: ClassVar[tuple[str, ...]] = ("alphabet",)
    alphabet: FileName = Field(
        description="File with one symbol a line, UTF-8, in order, without the blank; a line may hold just a space."
    )
    blank: Literal["first", "last"] = Field(default="first", description="Place of the blank among the symbols.")
    space: Token | None = Field(default=None, description="What stands for a space in the alphabet, such as | or ▁.")
    _symbols: tuple[str, ...] = PrivateAttr(default=())

    def with_files(self, files: Mapping[str, bytes]) -> Self:
        symbols = read_lines(files[self.alphabet], "alphabet")
        if "" in symbols:
            raise Misfit("alphabet", f"line {symbols.index('') + 1} of the file is empty", fix=_OWN_ALPHABET)
        if self.space is not None and not any(self.space in symbol for symbol in symbols):
            raise Misfit("space", f"no symbol of the alphabet holds {self.space[:32]!r}")
        loaded = self.model_copy()
        loaded._symbols = ("", *symbols) if self.blank == "first" else (*symbols, "")
        return loaded

    def check(self, outputs: Mapping[str, OutputSpec]) -> None:
        for spec in outputs.values():
            shape = tuple(spec.shape)
            if len(shape) != 3 or spec.dtype == "BYTES":
                problem = f"output {spec.name} is {spec.dtype} {list(shape)}, CTC reads scores [rows, steps, symbols]"
                raise Misfit("input", problem)
            if shape[2] not in (-1, len(self._symbols)):
                raise Misfit("alphabet", self._mismatch(f"output {spec.name}", shape[2]), fix=_OWN_ALPHABET)

    def answers(self, outputs: Mapping[str, Array], options: Options) -> list[Answered]:
        scores = output_scores(outputs, self.input, self.name)
        self._check_shape(scores.shape)
        best = scores.argmax(axis=-1)
        peaks = np.take_along_axis(scores, best[..., np.newaxis], axis=-1)[..., 0]
        with np.errstate(over="ignore"):  # an answer's score is float32, beyond which there is only infinity
            finite = np.isfinite(peaks.astype(np.float32))
        # NaN is the greatest to argmax: such steps say nothing, as a blank does.
        blank = 0 if self.blank == "first" else len(self._symbols) - 1
        best[~finite] = blank
        kept = best != blank
        kept[:, 1:] &= best[:, 1:] != best[:, :-1]
        return [
            self.answered(self._text(row[places], row_peaks[places]), is_sound)
            for row, row_peaks, places, is_sound in zip(best, peaks, kept, finite.all(axis=1).tolist(), strict=True)
        ]

    def describe_answer(self) -> str:
        return f"text of {len(self._symbols) - 1:,} symbols"

    def _text(self, indices: npt.NDArray[np.intp], scores: npt.NDArray[np.floating[Any]]) -> Text:
        text = "".join([self._symbols[index] for index in indices.tolist()])
        if self.space is not None:
            text = text.replace(self.space, " ")
        return Text(text.strip(), float(scores.mean()) if len(scores) else None)

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 3:
            raise FailedPrecondition(
                f"CTC reads scores [rows, steps, symbols], the model gives {list(shape)}.", reason="OUTPUT_SHAPE"
            )
        if shape[2] != len(self._symbols):
            problem = self._mismatch("the model", shape[2])
            raise FailedPrecondition(f"The alphabet {problem}.", reason="ALPHABET_MISMATCH", fix=_OWN_ALPHABET)

    def _mismatch(self, what: str, count: int) -> str:
        return f"and the blank are {len(self._symbols)} symbols, {what} has {count} a step"


class JoinTokens(OneOutputStep):
    """Joins the tokens of ids [rows, tokens] to a text."""

    name: ClassVar[str] = "tokens"
    kind: ClassVar[str] = "text"
    file_parameters: ClassVar[tuple[str, ...]] = ("vocabulary",)
    vocabulary: FileName = Field(description="File with one token a line, UTF-8; the line's number from 0 is the id.")
    level: Literal["word", "char", "subword", "byte"] = Field(
        default="word",
        description="How tokens join, as they were split: words with spaces, except between Chinese or Japanese ones "
        "(word); characters without (char); words of pieces, ## in front of all but the first (subword); a letter for "
        "each byte of UTF-8, as in GPT-2's vocabulary, where Ġ is a space (byte).",
    )
    special: Annotated[tuple[Token, ...], Field(max_length=1000)] = Field(
        default=(), description="Tokens to leave out, for instance [PAD] and [CLS]."
    )
    end: Token | None = Field(default=None, description="Token with which a text ends, for instance [SEP]; left out.")
    _tokens: tuple[str, ...] = PrivateAttr(default=())

    def with_files(self, files: Mapping[str, bytes]) -> Self:
        ids = read_vocabulary(files[self.vocabulary])
        for parameter, token in [("end", self.end), *(("special", token) for token in self.special)]:
            if token is not None and token not in ids:
                raise Misfit(parameter, f"the token {token[:32]!r} is not in the vocabulary")
        loaded = self.model_copy()
        loaded._tokens = tuple(ids)
        return loaded

    def check(self, outputs: Mapping[str, OutputSpec]) -> None:
        for spec in outputs.values():
            shape = tuple(spec.shape)
            if len(shape) != 2 or "INT" not in spec.dtype:
                problem = f"output {spec.name} is {spec.dtype} {list(shape)}, tokens are whole numbers [rows, tokens]"
                raise Misfit("input", problem)

    def answers(self, outputs: Mapping[str, Array], options: Options) -> list[Answered]:
        ids = self.numeric_rows(outputs)
        if ids.ndim != 2 or ids.dtype.kind not in "iu":
            raise FailedPrecondition(
                f"Tokens are whole numbers [rows, tokens], the model gives {ids.dtype} {list(ids.shape)}.",
                reason="OUTPUT_SHAPE",
            )
        return [self._row(row) for row in ids.tolist()]

    def describe_answer(self) -> str:
        return f"text of {len(self._tokens):,} tokens"

    def _row(self, ids: Sequence[int]) -> Answered:
        tokens = []
        for each in ids:
            if not 0 <= each < len(self._tokens):
                return Answered(None, error=self._unknown(each))
            token = self._tokens[each]
            if token == self.end:
                break
            if token not in self.special:
                tokens.append(token)
        return Answered(Text(_JOINED[self.level](tokens)))

    def _unknown(self, token_id: int) -> FailedPrecondition:
        return FailedPrecondition(
            f"The model gives the token {token_id}, the vocabulary has {len(self._tokens)} tokens from 0.",
            reason="VOCABULARY_MISMATCH",
            fix="Pack the vocabulary that belongs to the model, and name the token that ends its texts as `end`.",
        )


def _spaced(words: Iterable[str]) -> str:
    return _NEEDLESS_SPACE.sub("", " ".join(words))


def _of_subwords(pieces: Sequence[str]) -> str:
    words: list[str] = []
    for piece in pieces:
        if words and piece.startswith(CONTINUES):
            words[-1] += piece.removeprefix(CONTINUES)
        else:
            words.append(piece.removeprefix(CONTINUES))
    return _spaced(words)


def _byte_letters() -> dict[str, int]:
    """GPT-2's letter for each byte: its own in Latin-1 where that can be seen, else the next one from U+0100 on."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(256 + place): byte for place, byte in enumerate(hidden)}


_BYTES = _byte_letters()


def _of_bytes(pieces: Sequence[str]) -> str:
    """Letters that stand for no byte, as those of special tokens, are themselves; half a character is U+FFFD."""
    encoded = (bytes([_BYTES[letter]]) if letter in _BYTES else letter.encode() for letter in "".join(pieces))
    return b"".join(encoded).decode("utf-8", "replace").strip()


_JOINED = {"word": _spaced, "char": "".join, "subword": _of_subwords, "byte": _of_bytes}
