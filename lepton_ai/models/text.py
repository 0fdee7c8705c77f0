"""A classifier of texts in any language."""

from __future__ import annotations

from lepton_ai.datasets import Dataset
from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.models.cnn import classification
from lepton_ai.models.model import Model
from lepton_ai.models.preparation import fit_pipeline, only_column
from lepton_ai.models.text_networks import EncoderKind, TextNetwork, text_encoder
from lepton_ai.models.tokens import Level, TokenVectors, text_steps, vocabulary_size
from lepton_ai.pipeline import Pipeline
from lepton_ai.training.tasks import Classification, Task

_KINDS = ("cnn", "lstm", "transformer")


class TextClassifier(Model):
    """Tells what kind a text is: its tokens become vectors, over which one of three kinds of network runs.

    `encoder` is "cnn" (fast, good for topics and opinions), "lstm" or "transformer". `level` says what a token is: a
    character ("char", good for Chinese), a "word", a Chinese word ("jieba") or a "subword". The vocabulary is learned
    from the training data. Texts are cut at `max_length` tokens.
    """

    def __init__(  # noqa: PLR0913 - every one is a choice of its own
        self,
        encoder: EncoderKind = "cnn",
        *,
        level: Level = "char",
        max_length: int = 256,
        max_tokens: int = 20_000,
        embedding: int = 128,
        hidden: int = 128,
        layers: int = 1,
        dropout: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__(
            encoder=encoder, level=level, max_length=max_length, max_tokens=max_tokens, embedding=embedding,
            hidden=hidden, layers=layers, dropout=dropout, seed=seed,
        )  # fmt: skip
        if encoder not in _KINDS:
            raise InvalidInput.of_field("encoder", f"there is no {encoder!r}", fix=f"There are {', '.join(_KINDS)}.")

    def prepare(self, data: Dataset) -> Pipeline:
        column, config = only_column(data, "text"), self.config
        steps = text_steps(
            column.name,
            level=config["level"],
            max_length=config["max_length"],
            max_tokens=config["max_tokens"],
            min_count=2,
        )
        return fit_pipeline([column], steps, data)

    def define_task(self, data: Dataset) -> Task:
        return classification(data, None)

    def build_network(self) -> TextNetwork:
        if self.pipeline is None or not isinstance(self.task, Classification):
            raise FailedPrecondition(
                "The network's size depends on the vocabulary.", reason="NOT_TRAINED", fix="Call fit first."
            )
        config, dropout = self.config, self.config["dropout"]
        tokens = TokenVectors(vocabulary_size(self.pipeline), config["embedding"], dropout=dropout / 2)
        encoder, width = text_encoder(
            config["encoder"], config["embedding"], config["hidden"], layers=config["layers"], dropout=dropout / 2
        )
        return TextNetwork(tokens, encoder, width, len(self.task.classes), dropout=dropout)
