"""Files that hold one number each (pids, counts of starts), written again and again until the disk takes them."""

from __future__ import annotations

from pathlib import Path


class NumberFile:
    """A number for other processes to read. A full disk delays it: `settle` brings it up to date later."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wanted: int | None = None
        self._is_due = False

    def write(self, number: int) -> None:
        """Have the file hold a number, at once or with a later `settle`. Never raises."""
        self._wanted, self._is_due = number, True
        self.settle()

    def delete(self) -> None:
        """Have no file, at once or with a later `settle`. Never raises."""
        self._wanted, self._is_due = None, True
        self.settle()

    def settle(self) -> bool:
        """Bring the file up to date; False while the disk refuses."""
        if self._is_due:
            try:
                self._apply()
            except OSError:
                return False  # a number that is late does less harm than a supervisor that ends
            self._is_due = False
        return True

    def _apply(self) -> None:
        if self._wanted is None:
            self._path.unlink(missing_ok=True)
            return
        # A reader sees the old number or the new one, never an empty file.
        draft = self._path.with_name(f".{self._path.name}.new")
        draft.write_text(f"{self._wanted}\n", encoding="ascii")
        draft.replace(self._path)
