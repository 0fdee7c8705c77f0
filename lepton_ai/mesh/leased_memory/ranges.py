"""Which parts of a range are free: the first that is large enough is taken, and neighbours become one again."""

from __future__ import annotations

from bisect import bisect


class Ranges:
    """Hands out parts of [begin, end). Taking the first keeps to pages that were used before, and so to few of them."""

    def __init__(self, begin: int, end: int) -> None:
        self._free: list[tuple[int, int]] = [(begin, end)] if begin < end else []

    def take(self, size: int) -> int | None:
        """Where a part of this size begins, or None when there is none in one piece."""
        for index, (begin, end) in enumerate(self._free):
            if end - begin >= size:
                if end - begin == size:
                    del self._free[index]
                else:
                    self._free[index] = (begin + size, end)
                return begin
        return None

    def give_back(self, begin: int, size: int) -> None:
        """A part that was taken is free again."""
        end = begin + size
        index = bisect(self._free, (begin, end))
        if index < len(self._free) and self._free[index][0] == end:
            end = self._free.pop(index)[1]
        if index and self._free[index - 1][1] == begin:
            index -= 1
            begin = self._free.pop(index)[0]
        self._free.insert(index, (begin, end))
