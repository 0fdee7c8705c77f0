"""OpenAI's Whisper (tiny.en) as one network from samples to ids of tokens, with the weights of a package.

The weights are in CTranslate2's format, which is read here; the network is written down anew, so that ONNX can hold it
whole: the spectrogram, the encoder, and the decoder with its loop from token to token.
Source: A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022.
"""

import json
import math
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

RATE_HZ = 16_000
SECONDS = 30
VOCABULARY = 51_864
END = 50_256
"""Id of the token that ends a text."""
_PROMPT = (50_257, 50_362)
"""Start of transcript, no timestamps."""
_MOST_TOKENS = 200
_WINDOW, _HOP, _MELS = 400, 160, 80

Weights = dict[str, Tensor]


def read_weights(path: Path) -> Weights:
    """The arrays of a CTranslate2 model (version 6 of the format), by name."""
    content = path.read_bytes()
    place = 0

    def take(layout: str) -> Any:
        nonlocal place
        (value,) = struct.unpack_from(f"<{layout}", content, place)
        place += struct.calcsize(f"<{layout}")
        return value

    def text() -> str:
        letters: bytes = take(f"{take('H')}s")
        return letters.rstrip(b"\0").decode()

    version, _specification, _revision = take("I"), text(), take("I")
    if version != 6:
        raise ValueError(f"{path.name} has version {version} of CTranslate2's format, not 6")
    weights = {}
    for _ in range(take("I")):
        name, shape, dtype = text(), [take("I") for _ in range(take("B"))], take("B")
        data = take(f"{take('I')}s")
        if dtype == 4:  # FP16; what else there is are settings
            weights[name] = torch.from_numpy(np.frombuffer(data, "<f2").reshape(shape).astype(np.float32))
    return weights


class Whisper(nn.Module):
    """Samples [N, 480,000], 30 s at 16 kHz, to ids of tokens [N, T]: what was said, then END."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        weights = read_weights(directory / "model.bin")
        settings = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        self.spectrogram = Spectrogram()
        self.encoder = Encoder(weights)
        self.decoder = Decoder(weights, settings["suppress_ids"], settings["suppress_ids_begin"])

    def forward(self, samples: Tensor) -> Tensor:
        """int64 [N, T]."""
        heard = self.encoder(self.spectrogram(samples))
        ids: Tensor = self.decoder(heard)
        return ids


class Spectrogram(nn.Module):
    """Log-mel spectrogram [N, 80, 3,000], by a convolution with sines and cosines, which every ONNX runtime has."""

    waves: Tensor
    filters: Tensor
    hop: Final[int]
    margin: Final[int]

    def __init__(self) -> None:
        super().__init__()
        self.hop, self.margin = _HOP, _WINDOW // 2
        angles = 2 * math.pi * np.outer(np.arange(_WINDOW // 2 + 1), np.arange(_WINDOW)) / _WINDOW
        window = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(_WINDOW) / _WINDOW)
        waves = np.concatenate([np.cos(angles), np.sin(angles)]) * window
        self.register_buffer("waves", torch.tensor(waves[:, np.newaxis], dtype=torch.float32))
        self.register_buffer("filters", torch.tensor(mel_filters(), dtype=torch.float32))

    def forward(self, samples: Tensor) -> Tensor:
        padded = functional.pad(samples.unsqueeze(1), (self.margin, self.margin), mode="reflect")
        waves = functional.conv1d(padded, self.waves, stride=self.hop)[:, :, :-1]
        real, imaginary = waves.chunk(2, dim=1)
        mels = torch.matmul(self.filters, real * real + imaginary * imaginary)
        levels = torch.log10(torch.clamp(mels, min=1e-10))
        highest = levels.amax(dim=(1, 2), keepdim=True)
        return (torch.maximum(levels, highest - 8.0) + 4.0) / 4.0


def mel_filters() -> npt.NDArray[np.float64]:
    """Triangular filters [80, 201] on Slaney's mel scale, each of area 1."""
    linear_hz, step = 1000.0, math.log(6.4) / 27

    def hertz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.where(mel < 15, mel * 200 / 3, linear_hz * np.exp(step * (mel - 15)))

    edges = hertz(np.linspace(0, 15 + math.log(RATE_HZ / 2 / linear_hz) / step, _MELS + 2))
    bins = np.linspace(0, RATE_HZ / 2, _WINDOW // 2 + 1)
    rising = (bins - edges[:-2, np.newaxis]) / np.diff(edges)[:-1, np.newaxis]
    falling = (edges[2:, np.newaxis] - bins) / np.diff(edges)[1:, np.newaxis]
    areas: npt.NDArray[np.float64] = 2 / (edges[2:] - edges[:-2])
    filters: npt.NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling)) * areas[:, np.newaxis]
    return filters


class Encoder(nn.Module):
    """A spectrogram to what was heard [N, 1,500, 384]."""

    positions: Tensor

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.first, self.second = (_convolution(weights, f"encoder/conv{each}", each) for each in (1, 2))
        self.register_buffer("positions", weights["encoder/position_encodings/encodings"])
        self.layers = nn.ModuleList(Layer(weights, f"encoder/layer_{index}") for index in range(4))
        self.norm = _norm(weights, "encoder/layer_norm")

    def forward(self, mels: Tensor) -> Tensor:
        x = functional.gelu(self.second(functional.gelu(self.first(mels)))).transpose(1, 2) + self.positions
        for layer in self.layers:
            x = layer(x)
        normed: Tensor = self.norm(x)
        return normed


class Layer(nn.Module):
    """Attention of all to all, then a small network for each."""

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__()
        self.norm = _norm(weights, f"{name}/self_attention/layer_norm")
        self.projection = _linear(weights, f"{name}/self_attention/linear_0")
        self.output = _linear(weights, f"{name}/self_attention/linear_1")
        self.last_norm = _norm(weights, f"{name}/ffn/layer_norm")
        self.wide = _linear(weights, f"{name}/ffn/linear_0")
        self.narrow = _linear(weights, f"{name}/ffn/linear_1")

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = self.projection(self.norm(x)).chunk(3, dim=2)
        x = x + self.output(attend(queries, split_heads(keys), split_heads(values)))
        widened: Tensor = functional.gelu(self.wide(self.last_norm(x)))
        narrowed: Tensor = self.narrow(widened)
        return x + narrowed


class Hearing(nn.Module):
    """Keys and values of what was heard for a layer of the decoder, [N, heads, 1,500, 64]."""

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__()
        self.projection = _linear(weights, f"{name}/attention/linear_1")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = self.projection(x).chunk(2, dim=2)
        return split_heads(keys), split_heads(values)


class DecoderLayer(nn.Module):
    """One token against those before it, and against what was heard."""

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__()
        self.norm = _norm(weights, f"{name}/self_attention/layer_norm")
        self.projection = _linear(weights, f"{name}/self_attention/linear_0")
        self.output = _linear(weights, f"{name}/self_attention/linear_1")
        self.cross_norm = _norm(weights, f"{name}/attention/layer_norm")
        self.cross_query = _linear(weights, f"{name}/attention/linear_0")
        self.cross_output = _linear(weights, f"{name}/attention/linear_2")
        self.last_norm = _norm(weights, f"{name}/ffn/layer_norm")
        self.wide = _linear(weights, f"{name}/ffn/linear_0")
        self.narrow = _linear(weights, f"{name}/ffn/linear_1")

    def forward(
        self, x: Tensor, keys: Tensor, values: Tensor, heard_keys: Tensor, heard_values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        queries, key, value = self.projection(self.norm(x)).chunk(3, dim=2)
        keys = torch.cat([keys, split_heads(key)], dim=2)
        values = torch.cat([values, split_heads(value)], dim=2)
        x = x + self.output(attend(queries, keys, values))
        x = x + self.cross_output(attend(self.cross_query(self.cross_norm(x)), heard_keys, heard_values))
        return x + self.narrow(functional.gelu(self.wide(self.last_norm(x)))), keys, values


class Decoder(nn.Module):
    """What was heard to ids of tokens, the likeliest at each place."""

    embeddings: Tensor
    positions: Tensor
    prompt: Tensor
    penalties: Tensor
    end: Final[int]
    most: Final[int]

    def __init__(self, weights: Weights, never: list[int], never_first: list[int]) -> None:
        super().__init__()
        self.end, self.most = END, _MOST_TOKENS
        self.register_buffer("embeddings", weights["decoder/embeddings/weight"])
        self.register_buffer("positions", weights["decoder/position_encodings/encodings"])
        self.register_buffer("prompt", torch.tensor(_PROMPT))
        penalties = torch.zeros(2, VOCABULARY)
        penalties[:, [*never, *range(_PROMPT[1], VOCABULARY)]] = -1e9  # special tokens, times, and noises
        penalties[0, never_first] = -1e9
        self.register_buffer("penalties", penalties)
        self.hearing = nn.ModuleList(Hearing(weights, f"decoder/layer_{index}") for index in range(4))
        self.layers = nn.ModuleList(DecoderLayer(weights, f"decoder/layer_{index}") for index in range(4))
        self.norm = _norm(weights, "decoder/layer_norm")

    def forward(self, heard: Tensor) -> Tensor:
        heard_keys, heard_values = self.of_layers(heard)
        count = heard.size(0)
        keys = torch.zeros(len(self.layers), count, 6, 0, 64)
        values = torch.zeros(len(self.layers), count, 6, 0, 64)
        _logits, keys, values = self.step(self.prompt[0].expand(count), keys, values, heard_keys, heard_values)
        logits, keys, values = self.step(self.prompt[1].expand(count), keys, values, heard_keys, heard_values)
        token = (logits + self.penalties[0]).argmax(dim=1)
        ids = token.unsqueeze(1)
        while bool((token != self.end).any()) and ids.size(1) < self.most:
            logits, keys, values = self.step(token, keys, values, heard_keys, heard_values)
            following = (logits + self.penalties[1]).argmax(dim=1)
            token = torch.where(token == self.end, token, following)
            ids = torch.cat([ids, token.unsqueeze(1)], dim=1)
        return ids

    def of_layers(self, heard: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of what was heard, for each layer."""
        keys: list[Tensor] = []
        values: list[Tensor] = []
        for layer in self.hearing:
            key, value = layer(heard)
            keys.append(key)
            values.append(value)
        return torch.stack(keys), torch.stack(values)

    def step(
        self, token: Tensor, keys: Tensor, values: Tensor, heard_keys: Tensor, heard_values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Scores [N, tokens] of the next token, and keys and values with those of this one."""
        x = (self.embeddings[token] + self.positions[keys.size(3)]).unsqueeze(1)
        new_keys: list[Tensor] = []
        new_values: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            x, key, value = layer(x, keys[index], values[index], heard_keys[index], heard_values[index])
            new_keys.append(key)
            new_values.append(value)
        logits = torch.matmul(self.norm(x)[:, 0], self.embeddings.transpose(0, 1))
        return logits, torch.stack(new_keys), torch.stack(new_values)


def split_heads(x: Tensor) -> Tensor:
    """[N, length, 384] → [N, heads, length, 64]."""
    return x.view(x.size(0), x.size(1), 6, 64).transpose(1, 2)


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Queries [N, length, 384] against keys and values [N, heads, length, 64]."""
    likeness = torch.matmul(split_heads(queries), keys.transpose(2, 3)) / 8.0
    mixed = torch.matmul(torch.softmax(likeness, dim=3), values).transpose(1, 2)
    return mixed.reshape(mixed.size(0), mixed.size(1), 384)


def _linear(weights: Weights, name: str) -> nn.Linear:
    weight = weights[f"{name}/weight"]
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.weight.data, linear.bias.data = weight, weights[f"{name}/bias"]
    return linear


def _norm(weights: Weights, name: str) -> nn.LayerNorm:
    norm = nn.LayerNorm(384)
    norm.weight.data, norm.bias.data = weights[f"{name}/gamma"], weights[f"{name}/beta"]
    return norm


def _convolution(weights: Weights, name: str, stride: int) -> nn.Conv1d:
    weight = weights[f"{name}/weight"]
    convolution = nn.Conv1d(weight.shape[1], weight.shape[0], 3, stride=stride, padding=1)
    convolution.weight.data, convolution.bias = weight, nn.Parameter(weights[f"{name}/bias"])
    return convolution
