"""A classifier of texts in any language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from lepton_ai.datasets import Dataset
from lepton_ai.errors import FailedPrecondition
from lepton_ai.models.fitting.purpose import classes_or_labels
from lepton_ai.models.model import Model
from lepton_ai.models.preparation import fit_pipeline, only_column
from lepton_ai.models.text_networks import EncoderKind, NgramVotes, TextNetwork, text_encoder
from lepton_ai.models.tokens import Level, TokenVectors, text_steps, vocabulary_size
from lepton_ai.pipeline import Pipeline
from lepton_ai.training.targets.multilabel import MultiLabel
from lepton_ai.training.tasks import Classification, Task


class TextClassifier(Model):
    """Tells what kind a text is: its tokens become vectors, over which one of three kinds of network runs.

    `encoder` is "cnn" (fast, good for topics and opinions), "lstm" or "transformer". `level` says what a token is: a
    character ("char", good for Chinese), a "word", a Chinese word ("jieba") or a "subword". The vocabulary is learned
    from the training data. Texts are cut at `max_length` tokens. Beside the network, runs of up to `ngrams` tokens vote
    for the classes directly, as in a linear model (0: they do not); in training some tokens are hidden at random.
    """

    defaults: ClassVar[Mapping[str, Any]] = {
        "epochs": 4,
        "batch_size": 64,
        "learning_rate": 2e-3,
        "schedule": "one_cycle",
    }

    def __init__(  # noqa: PLR0913 - every one is a choice of its own
        self,
        encoder: EncoderKind = "cnn",
        *,
        level: Level = "char",
        max_length: int = 192,
        max_tokens: int = 20_000,
        embedding: int = 64,
        hidden: int = 64,
        layers: int = 1,
        ngrams: int = 3,
        dropout: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__(
            encoder=encoder, level=level, max_length=max_length, max_tokens=max_tokens, embedding=embedding,
            hidden=hidden, layers=layers, ngrams=ngrams, dropout=dropout, seed=seed,
        )  # fmt: skip

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
        return classes_or_labels(data, instead="GRU, LSTM and RNN learn numbers from texts.")

    def build_network(self) -> TextNetwork:
        if self.pipeline is None or not isinstance(self.task, Classification | MultiLabel):
            raise FailedPrecondition(
                "The network's size depends on the vocabulary.", reason="NOT_TRAINED", fix="Call fit first."
            )
        config, dropout, answers = self.config, self.config["dropout"], self.task.width
        tokens = TokenVectors(vocabulary_size(self.pipeline), config["embedding"], dropout=dropout / 2)
        encoder, width = text_encoder(
            config["encoder"], config["embedding"], config["hidden"], layers=config["layers"], dropout=dropout / 2
        )
        head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, answers))
        votes = NgramVotes(answers, most=config["ngrams"])
        return TextNetwork(tokens, encoder, votes, head, masking=dropout / 5)
