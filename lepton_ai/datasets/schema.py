"""What the columns of a data set are: kind, role, categories, and why it was inferred so. Values only, no data."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, get_args

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline.reading import DateOrder, Reading

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.table import Table

Kind = Literal["image", "sound", "text", "number", "category", "time", "tensor"]
"""What a value is. Images and sounds are encoded files, as bytes or as paths of files."""
Role = Literal["input", "target", "group", "time", "weight", "ignore"]
"""What a column is for. At most one is the target, the group, the time and the weight each."""

KINDS: tuple[str, ...] = get_args(Kind)
ROLES: tuple[str, ...] = get_args(Role)

_SINGLE_ROLES = ("target", "group", "time", "weight")
_SHOWN_CATEGORIES = 6


@dataclass(frozen=True)
class Column:
    """One column of a data set."""

    name: str
    kind: Kind
    role: Role = "input"
    categories: tuple[str, ...] = ()
    """All values that a category can have, in order; empty when they were not counted. Of a target of several numbers a
    row, what each is called."""
    note: str = ""
    """Why the column was inferred to be this, or what is odd about it."""
    root: str = ""
    """The folder that relative paths of files in this column start from."""
    decided: str = ""
    """The part of the note that says how its texts are read, and how to decide otherwise; the profile says it too."""
    reading: Reading | None = None
    """How its texts are, or were, read as numbers, times or booleans; None where nothing was decided."""

    @property
    def date_order(self) -> DateOrder:
        """What comes first in its dates, when they are texts."""
        return "" if self.reading is None else self.reading.dates

    def __post_init__(self) -> None:
        """Raises InvalidInput for a kind or role that does not exist and for repeated categories."""
        _check_word(self.name, "kind", self.kind, KINDS)
        _check_word(self.name, "role", self.role, ROLES)
        if len(set(self.categories)) != len(self.categories):
            raise InvalidInput.of_field(self.name, "a category is named twice", fix="Name every category once.")


@dataclass(frozen=True)
class Schema:
    """The columns of a data set, in order. Inferred by `Schema.infer`, printed as a table, fixed by `with_…`."""

    columns: tuple[Column, ...]
    _by_name: Mapping[str, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises InvalidInput when two columns share a name, or a role that only one column can have."""
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "_by_name", {column.name: column for column in self.columns})
        if len(self._by_name) != len(self.columns):
            names = [column.name for column in self.columns]
            twice = next(name for name in names if names.count(name) > 1)
            raise InvalidInput.of_field(twice, "two columns have this name", fix="Rename one of them.")
        for role in _SINGLE_ROLES:
            having = [column.name for column in self.columns if column.role == role]
            if len(having) > 1:
                raise InvalidInput.of_field(
                    having[1],
                    f"{' and '.join(map(repr, having))} are both the {role}",
                    fix=f'Give one of them another role: schema.with_roles(**{{{having[0]!r}: "ignore"}}).',
                )

    @classmethod
    def infer(cls, table: pa.Table, target: str | None = None, *, root: str = "") -> Schema:
        """The kinds and roles that the content of an Arrow table suggests, each with a note that says why.

        Without `target`, a column named label, target, y, 标签 or the like is taken. Relative file paths start from
        `root`. Raises InvalidInput when there is no such target.
        """
        from lepton_ai.datasets.inference import infer_schema

        return infer_schema(table, target, root=root)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all columns, in order."""
        return tuple(self._by_name)

    @property
    def inputs(self) -> tuple[Column, ...]:
        """The columns that a model reads."""
        return tuple(column for column in self.columns if column.role == "input")

    @property
    def target(self) -> Column | None:
        """The column that a model learns to predict, if there is one."""
        return self.with_role("target")

    def with_role(self, role: Role) -> Column | None:
        """The first column in a role, such as "group"; None when there is none."""
        return next((column for column in self.columns if column.role == role), None)

    def __getitem__(self, name: str) -> Column:
        """The column of this name. Raises InvalidInput that names the nearest one."""
        if name not in self._by_name:
            raise unknown_column(name, self.names)
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def with_kinds(self, **kinds: Kind) -> Schema:
        """The same schema with other kinds, `with_kinds(age="category")`. Raises InvalidInput for unknown names."""
        changed = {name: replace(self[name], kind=kind, categories=(), note="set") for name, kind in kinds.items()}
        return self._with(changed)

    def with_roles(self, **roles: Role) -> Schema:
        """The same schema with other roles, `with_roles(label="target")`; the former target becomes an input.

        Raises InvalidInput for unknown names.
        """
        changed = {name: replace(self[name], role=role) for name, role in roles.items()}
        for role in set(roles.values()) & set(_SINGLE_ROLES):
            former = self.with_role(role)
            if former is not None and former.name not in changed:
                changed[former.name] = replace(former, role="input" if role == "target" else "ignore")
        return self._with(changed)

    def with_readings(self, **readings: Reading) -> Schema:
        """The same schema with other ways to read texts: `with_readings(price=Reading(decimal=","))`.

        For columns of texts that are numbers, or times where it says `dates`, also undecided ones. A CSV file is read
        otherwise by read_table(decimal=…, day_first=…, missing=…). Raises InvalidInput for unknown names.
        """
        changed = {}
        for name, reading in readings.items():
            kind: Kind = "time" if reading.dates else "number"
            role: Role = "time" if kind == "time" and self.with_role("time") is None else self[name].role
            changed[name] = replace(
                self[name], kind=kind, role=role, categories=(), reading=reading, note="set", decided=""
            )
        return self._with(changed)

    def with_column(self, column: Column) -> Schema:
        """The same schema with this column put in the place of the one of its name, or at the end."""
        if column.name in self:
            return self._with({column.name: column})
        return Schema((*self.columns, column))

    def select(self, names: tuple[str, ...]) -> Schema:
        """Only these columns, in this order. Raises InvalidInput for unknown names."""
        return Schema(tuple(self[name] for name in names))

    def _with(self, changed: Mapping[str, Column]) -> Schema:
        return Schema(tuple(changed.get(column.name, column) for column in self.columns))

    def to_json(self) -> str:
        """The schema as JSON, read back by `from_json`."""
        return json.dumps([asdict(column) for column in self.columns], ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """A schema that `to_json` wrote. Raises InvalidInput when it is not one."""
        try:
            columns = json.loads(text)
            known = {each.name for each in fields(Column)}
            read = [{key: value for key, value in column.items() if key in known} for column in columns]
            return cls(tuple(_read_column(column) for column in read))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidInput("The schema is not one that Lepton wrote.", fix="Save the data set again.") from error

    def __rich__(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(title=None)
        for heading in ("column", "kind", "role", "values", "why"):
            table.add_column(heading, overflow="fold")
        for column in self.columns:
            cells = (column.name, column.kind, column.role, _values(column), column.note)
            table.add_row(*(Text(cell) for cell in cells))
        return table

    def __str__(self) -> str:
        return render(self)


def render(printable: Any, *, width: int = 120) -> str:
    """A rich renderable as plain text, for `print` and logs."""
    from rich.console import Console

    buffer = io.StringIO()
    Console(file=buffer, width=width, no_color=True).print(printable)
    return buffer.getvalue().rstrip("\n")


def unknown_column(name: str, names: tuple[str, ...]) -> InvalidInput:
    """The error for a column that does not exist: what to name instead."""
    near = get_close_matches(name, names, n=1)
    there_are = f"There are {', '.join(names[:20])}{', …' if len(names) > 20 else ''}." if names else "There are none."
    fix = f"Did you mean {near[0]!r}? {there_are}" if near else there_are
    return InvalidInput.of_field(name[:64], "there is no such column", fix=fix, reason="UNKNOWN_COLUMN")


def _read_column(document: Mapping[str, Any]) -> Column:
    reading = document.get("reading")
    read = None if reading is None else Reading.from_document(reading, field="reading")
    return Column(**{**document, "categories": tuple(document["categories"]), "reading": read})


def _values(column: Column) -> str:
    if not column.categories:
        return ""
    shown = ", ".join(column.categories[:_SHOWN_CATEGORIES])
    more = len(column.categories) - _SHOWN_CATEGORIES
    return f"{shown}, … {more} more" if more > 0 else shown


def _check_word(name: str, what: str, word: str, words: tuple[str, ...]) -> None:
    if word not in words:
        raise InvalidInput.of_field(name, f"{what} {word!r} does not exist", fix=f"Use one of {', '.join(words)}.")
