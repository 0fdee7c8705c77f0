"""Groups messages by template, online: Drain (He, Zhu, Zheng, Lyu, ICWS 2017), a parse tree of fixed depth.

A message goes down by its scope, its number of words and its first words to a leaf with a few groups, and into the
group with which it shares most words, if it shares enough of them; words that differ become <*>. So the work for a
message does not grow with the number of messages, and hardly with that of groups.

Two things are not the paper's. Each Chinese, Japanese or Korean character is a word, as no spaces part them. And a
group's plain words vary only beyond a share of them: "the lead is lost" and "the lead is taken" are two things.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import and_, eq, ne

from services.health.events.logs.masking import mask

ANY = "<*>"
_WIDE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\u3000-\u303f"
_WORD = re.compile(rf"\s*(?:[{_WIDE}]|[^\s{_WIDE}]+)")
_MOST_WORDS = 80
_TREE_WORDS = 2
"""First words that have a level of the tree: depth 4 in the paper's count."""
_MOST_CHILDREN = 100
_SIMILARITY = 0.5
_MOST_PLAIN = 0.2
"""Share of a message's words that may vary though they are plain words."""


@dataclass(eq=False)
class Group:
    """Messages of one template."""

    number: int
    scope: str
    words: list[str]
    """With the space before each, where there is one."""
    variables: int = field(init=False)
    """How many of them are <*>."""

    def __post_init__(self) -> None:
        self._count()

    def _count(self) -> None:
        self.variables = sum(word.endswith(ANY) for word in self.words)

    def vary(self, words: Sequence[str]) -> None:
        """Take another message in: where it differs the template has <*>."""
        if self.words != words:
            pairs = zip(self.words, words, strict=True)
            self.words = [ours if ours == theirs else _any(ours) for ours, theirs in pairs]
            self._count()

    @property
    def template(self) -> str:
        """The text that its messages share."""
        return "".join(self.words).strip()


@dataclass(eq=False)
class _Node:
    """A level of the tree by key, or a leaf's groups."""

    children: dict[str, _Node] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)


class Drain:
    """Groups of messages, at most so many: the one that was not met for longest goes first. Not for several threads."""

    def __init__(self, *, max_groups: int) -> None:
        self._root = _Node()
        self._max_groups = max_groups
        self._groups: OrderedDict[int, Group] = OrderedDict()
        self._paths: dict[int, list[_Node]] = {}
        self._forgotten: list[int] = []
        self._next = 1

    def __len__(self) -> int:
        return len(self._groups)

    def add(self, message: str, *, scope: str = "") -> Group:
        """The group that a message belongs to, a new one where none is like it. Only messages of a scope are alike."""
        words = split(mask(message))
        group = _most_alike(self._leaf(scope, words).groups, words)
        if group is None:
            group = Group(self._next, scope, words)
            self._insert(group)
        else:
            group.vary(words)
            self._groups.move_to_end(group.number)
        return group

    def restore(self, number: int, scope: str, template: str) -> None:
        """Know a group of an earlier process again. Call it for all of them, in the order in which they were met."""
        self._insert(Group(number, scope, split(template)))

    def take_forgotten(self) -> list[int]:
        """The numbers of groups that had to go since the last call."""
        forgotten, self._forgotten = self._forgotten, []
        return forgotten

    def _insert(self, group: Group) -> None:
        path = self._path(group.scope, group.words)
        path[-1].groups.append(group)
        self._paths[group.number] = path
        self._groups[group.number] = group
        self._next = max(self._next, group.number + 1)
        while len(self._groups) > self._max_groups:
            number, oldest = self._groups.popitem(last=False)
            self._prune(oldest)
            self._forgotten.append(number)

    def _leaf(self, scope: str, words: Sequence[str]) -> _Node:
        return self._path(scope, words)[-1]

    def _path(self, scope: str, words: Sequence[str]) -> list[_Node]:
        """The nodes from the root to the leaf for such a message, made where they are missing."""
        path = [self._root]
        for depth, key in enumerate(_keys(scope, words)):
            children = path[-1].children
            # Scopes and lengths are as few as there are groups; the words of a level are bounded here.
            if depth and key not in children and len(children) >= _MOST_CHILDREN:
                key = ANY
            path.append(children.setdefault(key, _Node()))
        return path

    def _prune(self, group: Group) -> None:
        """Take a group out of the tree, and nodes that have become empty."""
        path = self._paths.pop(group.number)
        path[-1].groups.remove(group)
        for parent, node in zip(path[-2::-1], path[:0:-1], strict=True):
            if node.children or node.groups:
                return
            parent.children = {key: each for key, each in parent.children.items() if each is not node}


def split(message: str) -> list[str]:
    """The words of a message, each with the space before it."""
    words = _WORD.findall(message)[:_MOST_WORDS]
    return [f" {word.lstrip()}" if word[0].isspace() else word for word in words]


def _keys(scope: str, words: Sequence[str]) -> list[str]:
    first = [ANY if _is_variable(word) else word for word in words[:_TREE_WORDS]]
    return [f"{len(words)} {scope}", *first]


def _most_alike(groups: Sequence[Group], words: Sequence[str]) -> Group | None:
    fewest, most_plain = _SIMILARITY * len(words), _MOST_PLAIN * len(words)
    is_plain = [not _is_variable(word) for word in words]
    best, best_same = None, -1
    for group in groups:  # a leaf may have hundreds, so this is left to C as far as possible
        same = sum(map(eq, group.words, words))
        if same == len(words):
            return group
        if same <= best_same or same + group.variables < fewest:
            continue
        if sum(map(and_, map(ne, group.words, words), is_plain)) > most_plain:
            continue
        varies = sum(ours.endswith(ANY) and ours != theirs for ours, theirs in zip(group.words, words, strict=True))
        if same + varies >= fewest:
            best, best_same = group, same
    return best


def _any(word: str) -> str:
    return f" {ANY}" if word.startswith(" ") else ANY


def _is_variable(word: str) -> bool:
    """Whether it names one thing of many: it has a digit, or was masked, or is put together as names are."""
    return any(character.isdigit() or character in "<>_@=/" for character in word)
