"""What a person writes without us to read pictures and rows: `torch.utils.data`, Pillow and NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

Item = tuple[Tensor, Tensor]
BATCH_SIZE = 32


class Pictures(Dataset[Item]):
    """Files by class: decoded, scaled, as tensors."""

    def __init__(self, directory: Path, side: int) -> None:
        self.classes = sorted(each.name for each in directory.iterdir())
        self.files = [(file, i) for i, name in enumerate(self.classes) for file in sorted((directory / name).iterdir())]
        self.side = side

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Item:
        file, number = self.files[index]
        with Image.open(file) as image:
            scaled = image.convert("RGB").resize((self.side, self.side), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(scaled)), torch.tensor(number)


class TableRows(Dataset[Item]):
    """Rows of numbers and categories: standardised and one-hot."""

    def __init__(self, numbers: dict[str, Any], categories: dict[str, Any], target: Any) -> None:
        self.numbers = np.stack([np.asarray(column, np.float64) for column in numbers.values()], axis=1)
        self.mean, self.std = self.numbers.mean(axis=0), self.numbers.std(axis=0)
        self.categories = list(categories.values())
        self.known = [{name: i for i, name in enumerate(sorted(set(each)))} for each in self.categories]
        self.classes = {name: i for i, name in enumerate(sorted(set(target)))}
        self.target = target

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, index: int) -> Item:
        parts = [(self.numbers[index] - self.mean) / self.std]
        for column, known in zip(self.categories, self.known, strict=True):
            one_hot = np.zeros(len(known))
            one_hot[known[column[index]]] = 1
            parts.append(one_hot)
        features = torch.from_numpy(np.concatenate(parts).astype(np.float32))
        return features, torch.tensor(self.classes[self.target[index]])


def read_all(data: Pictures | TableRows, *, workers: int) -> int:
    """One epoch of batches; gives how many rows came."""
    return sum(len(inputs) for inputs, _ in DataLoader(data, batch_size=BATCH_SIZE, num_workers=workers))
