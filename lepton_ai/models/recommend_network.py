"""The networks of recommenders: users and items as vectors, and how well two of them go together."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lepton_ai.training.ratings import NEVER, UNKNOWN_ITEM, Rating

_FIRST_SPREAD = 0.05
_HIDDEN_SHARE = 0.5


class Matcher(nn.Module):
    """Vectors and biases for users and items; index 0 stands for unknown ones. `layers` make towers."""

    def __init__(self, users: int, items: int, *, size: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.users = _embedding(users + 1, size)
        self.items = _embedding(items + 1, size)
        self.user_bias = nn.Parameter(torch.zeros(users + 1))
        self.item_bias = nn.Parameter(torch.zeros(items + 1))
        self.user_tower = _tower(size, layers, dropout)
        self.item_tower = _tower(size, layers, dropout)

    def pairs(self, user: Tensor, item: Tensor) -> Tensor:
        """How well users and items at the same place go together, [N]."""
        products = self.user_tower(self.users(user)) * self.item_tower(self.items(item))
        matches: Tensor = products.sum(dim=1) + self.user_bias[user] + self.item_bias[item]
        return matches

    def everything(self, user: Tensor) -> Tensor:
        """How well each user goes together with every item but the unknown one, [N, items]."""
        return self.everything_for(self.user_tower(self.users(user)))

    def everything_for(self, vectors: Tensor) -> Tensor:
        """How well users of these vectors go together with every item but the unknown one, [N, items]."""
        matches: Tensor = vectors @ self.item_tower(self.items.weight[1:]).T
        return matches + self.item_bias[1:]


class RatingNetwork(nn.Module):
    """int64 user [N, 1] and item [N, 1] → rating [N, 1]."""

    def __init__(self, matcher: Matcher, task: Rating) -> None:
        super().__init__()
        self.matcher = matcher
        self.mean, self.least, self.greatest = task.mean, task.least, task.greatest

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        rating = self.matcher.pairs(user[:, 0], item[:, 0])[:, None] + self.mean
        # In training a clamped rating would have no gradient.
        return rating if self.training else rating.clamp(self.least, self.greatest)


class RankingNetwork(nn.Module):
    """int64 user [N, 1] → scores [N, items]; outside of training what a user took already scores least.

    With `by_history` a user's vector is made of what they took, half of it hidden at random in training: the denoising
    autoencoder of Liang et al. (2018), seen as two towers.
    """

    seen: Tensor
    popularity: Tensor

    def __init__(self, matcher: Matcher, users: int, items: int, *, excludes: bool, by_history: bool) -> None:
        super().__init__()
        self.matcher = matcher
        self.excludes = excludes
        self.history = History(items, matcher.items.embedding_dim) if by_history else None
        self._keeps = excludes or by_history
        self.register_buffer("seen", torch.zeros((users + 1, items) if self._keeps else (0, 0), dtype=torch.bool))
        self.register_buffer("popularity", torch.zeros(items))

    def note(self, users: Tensor, items: Tensor) -> None:
        """Take down who took what. The first time, biases start from how often each item was taken."""
        users, items = users[items != UNKNOWN_ITEM], items[items != UNKNOWN_ITEM]
        if self._keeps:
            self.seen[users, items] = True
            self.seen[0] = False  # which stands for many
        is_first = not bool(self.popularity.any())
        self.popularity += torch.bincount(items, minlength=len(self.popularity))
        if is_first:
            with torch.no_grad():
                self.matcher.item_bias[1:] = (self.popularity + 1).log() - (self.popularity + 1).log().mean()

    def forward(self, user: Tensor) -> Tensor:
        if self.history is None:
            return self.without_seen(user, self.matcher.everything(user[:, 0]))
        vectors = self.history(self.seen[user[:, 0]].to(torch.float32))
        return self.without_seen(user, self.matcher.everything_for(vectors))

    def without_seen(self, user: Tensor, scores: Tensor) -> Tensor:
        if self.training or not self.excludes:
            return scores
        return scores.masked_fill(self.seen[user[:, 0]], NEVER)

    def by_popularity(self) -> nn.Module:
        """What recommends the same to everybody: what was taken most, without what one took already."""
        return _Popularity(self)


class History(nn.Module):
    """float32 [N, items], 1 for what was taken → vectors [N, size]."""

    def __init__(self, items: int, size: int) -> None:
        super().__init__()
        self.hidden = nn.Dropout(_HIDDEN_SHARE)
        self.layer = nn.Linear(items, size)

    def forward(self, taken: Tensor) -> Tensor:
        vectors: Tensor = torch.tanh(self.layer(self.hidden(nn.functional.normalize(taken, dim=1))))
        return vectors


class _Popularity(nn.Module):
    def __init__(self, network: RankingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, user: Tensor) -> Tensor:
        return self.network.without_seen(user, self.network.popularity.expand(len(user), -1))


def _embedding(count: int, size: int) -> nn.Embedding:
    embedding = nn.Embedding(count, size, padding_idx=0)
    with torch.no_grad():
        embedding.weight[1:].normal_(0.0, _FIRST_SPREAD)
    return embedding


def _tower(size: int, layers: int, dropout: float) -> nn.Module:
    parts: list[nn.Module] = [nn.Dropout(dropout)]
    for _ in range(layers):
        parts += [nn.Linear(size, size), nn.ReLU()]
    return nn.Sequential(*(parts[:-1] if layers else parts))
