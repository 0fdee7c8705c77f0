"""The data set: an Arrow table that may lie in a file, a schema that says what its columns are, and its lineage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from lepton_ai.datasets import cells, labels
from lepton_ai.datasets.arrow.foreign import column_array
from lepton_ai.datasets.digest import content_digest
from lepton_ai.datasets.gather import BATCH_ROWS, Indices, batches_of, row_of
from lepton_ai.datasets.inference import infer_column
from lepton_ai.datasets.lineage import Lineage
from lepton_ai.datasets.schema import Column, Kind, Schema, render, unknown_column
from lepton_ai.datasets.texts.settling import settled
from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline.values import RawValue

if TYPE_CHECKING:
    from rich.table import Table

    from lepton_ai.datasets.augment.compose import Wanted
    from lepton_ai.datasets.clean import Cleaned, CleaningPolicy
    from lepton_ai.datasets.profile import Profile
    from lepton_ai.datasets.show import Listing, Sheet

Row = dict[str, RawValue]

_BATCH_BYTES = 16 * 1024 * 1024


class Dataset:
    """Rows with typed columns. Never changes: every operation gives another data set that shares the content.

    A table in a memory-mapped file stays there: rows are read when they are asked for, and shuffling, splitting and
    filtering keep row numbers, not copies.
    """

    def __init__(self, table: pa.Table, schema: Schema, *, name: str = "data", lineage: Lineage | None = None) -> None:
        """Raises InvalidInput when schema and table do not have the same columns."""
        if tuple(table.column_names) != schema.names:
            table = _matching(table, schema)
        self._base = table
        self._indices: Indices | None = None
        self._origin: Dataset | None = None
        self.schema = labels.with_target_categories(settled(schema, table), table)
        self.name = name
        self._lineage = lineage or Lineage(source=name)

    def __len__(self) -> int:
        return len(self._base) if self._indices is None else len(self._indices)

    @cached_property
    def table(self) -> pa.Table:
        """All rows as an Arrow table. After shuffling, splitting or filtering this copies them into memory."""
        if self._indices is None:
            return self._base
        return pa.Table.from_batches(list(self.batches(batch_rows=65_536)), self._base.schema)

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and Arrow types of the columns."""
        return self._base.schema

    @cached_property
    def digest(self) -> str:
        """Lower-case hex SHA-256 over content and schema, streamed; the same wherever the files lie.

        Reads every file that the columns name. Raises NotFound for one that is gone.
        """
        return content_digest(self.batches(), self.schema)

    @property
    def lineage(self) -> Lineage:
        """Where this comes from and what was done to it, with digests: computed when first asked for."""
        parent = self._lineage.parent_digest or (self._origin.digest if self._origin is not None else "")
        return replace(self._lineage, digest=self.digest, parent_digest=parent)

    @property
    def source_lineage(self) -> Lineage:
        """The lineage without digests, which costs nothing."""
        return self._lineage

    def batches(
        self, columns: Sequence[str] | None = None, *, batch_rows: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows in order as Arrow batches, of some columns or all. Paths of files stay paths."""
        table = self._base if columns is None else self._base.select(list(self.schema.select(tuple(columns)).names))
        return batches_of(table, self._indices, batch_rows=batch_rows or self._batch_rows(table))

    def row(self, index: int) -> Row:
        """All columns of a row; images and sounds as the bytes of their files. Raises InvalidInput, NotFound."""
        return self._row(index, self.schema.columns)

    def inputs(self, index: int) -> Row:
        """The columns that a model reads, which is what `Pipeline.run` takes."""
        return self._row(index, self.schema.inputs)

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """All rows in order, of some columns or all, read batch by batch. Every call starts anew."""
        chosen = self.schema.columns if columns is None else self.schema.select(tuple(columns)).columns
        first_row = 0
        for batch in self.batches([column.name for column in chosen]):
            yield from cells.rows_of(batch, chosen, first_row=first_row)
            first_row += batch.num_rows

    def __iter__(self) -> Iterator[Row]:
        return self.rows()

    def target_values(self) -> np.ndarray[Any, Any] | list[Any]:
        """The target column: an array for numbers, times and tensors, a list for the rest. Raises InvalidInput."""
        return labels.target_values(self)

    def distinct_targets(self) -> tuple[list[Any], np.ndarray[Any, np.dtype[np.int64]]]:
        """The different values of the target column, and for every row the place of its own among them.

        A missing one is None, or NaN among numbers. Raises InvalidInput when there is no target.
        """
        return labels.distinct_targets(self)

    @property
    def classes(self) -> tuple[str, ...]:
        """The categories of the target, sorted; also those that no row has. Raises InvalidInput without a category."""
        return labels.classes(self.schema)

    def target_ids(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """For every row the place of its target in `classes`. Raises InvalidInput for a missing or unknown one."""
        return labels.target_ids(self)

    def take(self, indices: Iterable[int]) -> Dataset:
        """These rows, in this order. Raises InvalidInput for one that there is not."""
        wanted = np.asarray(indices if isinstance(indices, np.ndarray) else list(indices))
        if wanted.size == 0:
            wanted = wanted.astype(np.int64)
        if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
            raise InvalidInput("The indices are not a list of whole numbers.", fix="Give row numbers, or use filter.")
        wanted = wanted.astype(np.int64)
        wanted = np.where(wanted < 0, wanted + len(self), wanted)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise InvalidInput(f"There are {len(self)} rows; a row beyond them was asked for.")
        return self.taken(wanted, "take", {})

    def __getitem__(self, rows: slice) -> Dataset:
        """Some rows in their order: `data[:100]`. For one row as a dictionary there is `row`."""
        if not isinstance(rows, slice):
            raise InvalidInput("A data set is cut with slices.", fix="Use data[a:b], or data.row(i) for one row.")
        start, stop, step = rows.indices(len(self))
        if step == 1 and self._indices is None:
            sliced = self._base.slice(start, max(0, stop - start))
            return self.derived(sliced, self.schema, "slice", {"start": start, "stop": stop})
        parameters = {"start": start, "stop": stop, "step": step}
        return self.taken(np.arange(start, stop, step, dtype=np.int64), "slice", parameters)

    def filter(self, keep: Sequence[bool] | np.ndarray[Any, Any] | Callable[[Row], bool]) -> Dataset:
        """The rows for which a mask or a function of the row is true."""
        mask = np.fromiter(map(keep, self.rows()), dtype=bool, count=len(self)) if callable(keep) else np.asarray(keep)
        if mask.dtype != np.bool_ or mask.shape != (len(self),):
            raise InvalidInput(f"The mask is not {len(self)} times true or false.", fix="Give one value for each row.")
        return self.taken(np.flatnonzero(mask), "filter", {})

    def select(self, names: Sequence[str]) -> Dataset:
        """Only these columns. Raises InvalidInput for unknown ones."""
        schema = self.schema.select(tuple(names))
        return self.derived(self._base.select(list(names)), schema, "select", {"columns": list(names)}, self._indices)

    def with_column(self, name: str, values: Any, kind: Kind | None = None) -> Dataset:
        """With a column put in or replaced; its kind is inferred unless given. Raises InvalidInput."""
        array = column_array(name, values)
        if len(array) != len(self):
            raise InvalidInput.of_field(name, f"has {len(array)} values for {len(self)} rows")
        column = infer_column(name, array)
        old = next((each for each in self.schema if each.name == name), None)
        if kind is not None:
            kept = column.categories if kind == "category" else ()
            categories = kept or labels.kept_categories(kind, array)
            column = Column(name, kind, "input", categories, reading=column.reading if kind == column.kind else None)
        if old is not None:
            column = replace(column, role=old.role)
        if old is None:
            table = self.table.append_column(name, array)
        else:
            table = self.table.set_column(self.schema.names.index(name), name, array)
        return self.derived(table, self.schema.with_column(column), "with_column", {"column": name})

    def with_schema(self, schema: Schema) -> Dataset:
        """The same content seen with another schema of the same columns. Raises InvalidInput."""
        if set(schema.names) != set(self.schema.names):
            raise unknown_column(next(iter(set(schema.names) ^ set(self.schema.names))), self.schema.names)
        table = self._base.select(list(schema.names))
        return self.derived(table, schema, "with_schema", {}, self._indices)

    def shuffle(self, seed: int = 0) -> Dataset:
        """All rows in an order that the seed decides."""
        order = np.random.default_rng(seed).permutation(len(self))
        return self.taken(order, "shuffle", {"seed": seed})

    @staticmethod
    def concat(datasets: Sequence[Dataset]) -> Dataset:
        """The rows of several data sets of the same columns, one after the other. Raises InvalidInput."""
        from lepton_ai.datasets.combining import concat

        return concat(datasets)

    def map(
        self,
        function: Callable[[Row], Mapping[str, Any]],
        *,
        engine: Literal["ray"] | None = None,
        workers: int | None = None,
        memory_budget_bytes: int | None = None,
    ) -> Dataset:
        """The rows that a function makes of the rows, in order; kinds of new columns are inferred.

        With engine="ray" the function runs in `workers` processes through Ray Data, with the same result.
        """
        from lepton_ai.datasets.mapping import map_rows

        return map_rows(self, function, engine=engine, workers=workers, memory_budget_bytes=memory_budget_bytes)

    def split(
        self,
        test: float = 0.2,
        *,
        seed: int = 0,
        stratify: bool = True,
        group: str | None = None,
        by_time: bool | str | None = None,
    ) -> tuple[Dataset, Dataset]:
        """Train and test: see `lepton_ai.datasets.split.split`."""
        from lepton_ai.datasets.split import split

        return split(self, test, seed=seed, stratify=stratify, group=group, by_time=by_time)

    def profile(self, *, other: Dataset | None = None, seed: int = 0, sample_rows: int = 20_000) -> Profile:
        """What is odd about the data, and shared with `other`: see `lepton_ai.datasets.profile.profile`."""
        from lepton_ai.datasets.profile import profile

        return profile(self, other=other, seed=seed, sample_rows=sample_rows)

    def clean(self, policy: Profile | CleaningPolicy | str | None = None, **choices: Any) -> Cleaned:
        """The data with what was chosen put right, and a report: see `lepton_ai.datasets.clean.clean`."""
        from lepton_ai.datasets.clean import clean

        return clean(self, policy, **choices)

    def show(self, n: int = 16, augment: Wanted = None, *, seed: int = 0) -> Sheet | Listing:
        """Some rows as a picture or a table, as they are or varied: see `lepton_ai.datasets.show.show`."""
        from lepton_ai.datasets.show import show

        return show(self, n, augment, seed=seed)

    def save(self, path: str | Path, *, embed: bool = False) -> None:
        """Write the data set as an Arrow file; `embed` puts files that columns name into it. The old file stays whole
        until the new one is. Raises ResourceExhausted, NotFound."""
        from lepton_ai.datasets.saving import save

        save(self, Path(path), embed=embed)

    @staticmethod
    def open(path: str | Path) -> Dataset:
        """A data set that `save` wrote, memory-mapped. Raises NotFound, FailedPrecondition."""
        from lepton_ai.datasets.saving import open_dataset

        return open_dataset(Path(path))

    def derived(
        self,
        table: pa.Table,
        schema: Schema,
        operation: str,
        parameters: Mapping[str, Any],
        indices: Indices | None = None,
    ) -> Dataset:
        """A data set made from this one, with the operation in its lineage."""
        made = Dataset(table, schema, name=self.name)
        made._indices = indices
        made._origin = self._origin or self
        made._lineage = self._lineage.after(operation, rows=len(made), parameters=parameters)
        return made

    def taken(self, wanted: Indices, operation: str, parameters: Mapping[str, Any]) -> Dataset:
        """The rows of these numbers, which exist, with the operation in the lineage."""
        indices = wanted if self._indices is None else self._indices[wanted]
        return self.derived(self._base, self.schema, operation, parameters, indices)

    def _row(self, index: int, columns: tuple[Column, ...]) -> Row:
        if not -len(self) <= index < len(self):
            raise InvalidInput(f"There is no row {index}: the data set has {len(self)}.")
        index = index + len(self) if index < 0 else index
        at = index if self._indices is None else int(self._indices[index])
        batch = row_of(self._base.select([column.name for column in columns]), at)
        return next(cells.rows_of(batch, columns, first_row=index))

    def _batch_rows(self, table: pa.Table) -> int:
        bytes_per_row = int(table.nbytes) // max(1, len(table))
        return max(1, min(BATCH_ROWS, _BATCH_BYTES // max(1, bytes_per_row)))

    def __rich__(self) -> Table:
        table = self.schema.__rich__()
        table.title = f"{self.name}: {len(self)} rows"
        return table

    def __str__(self) -> str:
        return render(self)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {len(self)} rows, columns {', '.join(self.schema.names)})"


def _matching(table: pa.Table, schema: Schema) -> pa.Table:
    for name in (*schema.names, *table.column_names):
        if name not in table.column_names:
            raise unknown_column(name, tuple(table.column_names))
        if name not in schema:
            raise InvalidInput.of_field(name, "the schema has no such column", fix="Use Schema.infer(table).")
    return table.select(list(schema.names))
