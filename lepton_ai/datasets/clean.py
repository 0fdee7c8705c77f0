"""Puts right what a policy says, and reports how many rows each step changed; the lineage has every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from lepton_ai.datasets import cleaning_steps as steps
from lepton_ai.datasets.schema import render
from lepton_ai.errors import InvalidInput

if TYPE_CHECKING:
    from rich.table import Table

    from lepton_ai.datasets.dataset import Dataset
    from lepton_ai.datasets.profile import Profile

Missing = Literal["keep", "drop", "drop_without_target"]


@dataclass(frozen=True)
class CleaningPolicy:
    """What `clean` may do. Everything is off until it is asked for."""

    drop_columns: Sequence[str] = ()
    drop_constant: bool = False
    """Columns, other than the target, that are the same in every row."""
    drop_broken: bool = False
    """Rows with a picture or sound that cannot be decoded."""
    missing: Missing = "keep"
    """drop: rows with any input or target missing; drop_without_target: only those without a target."""
    drop_duplicates: bool = False
    """Rows equal to an earlier one in inputs and target."""
    drop_conflicts: bool = False
    """All rows that are equal in their inputs and differ in their target."""
    drop_near_duplicates: bool = False
    """Rows that are nearly the same as an earlier one, as the profile finds them."""
    drop_overlap: Dataset | None = None
    """Rows that these data have as well, exactly or nearly: `train.clean(drop_overlap=test)`."""
    drop_mislabelled: bool = False
    """Rows whose label simple models take for another; hard cases go with them."""
    clip_outliers: bool | float = False
    """Input numbers are moved to this many robust standard deviations; True means 6."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises InvalidInput for settings that do not exist."""
        if self.missing not in get_args(Missing):
            allowed = ", ".join(get_args(Missing))
            raise InvalidInput.of_field("missing", f"{self.missing!r} does not exist", fix=f"Use one of {allowed}.")
        if self.drop_overlap is not None and not hasattr(self.drop_overlap, "batches"):
            raise InvalidInput.of_field("drop_overlap", "is no data set", fix="Name the other part: drop_overlap=test.")
        named = (self.drop_columns,) if isinstance(self.drop_columns, str) else tuple(self.drop_columns)
        object.__setattr__(self, "drop_columns", named)
        if not isinstance(self.clip_outliers, bool) and not self.clip_outliers > 0:
            raise InvalidInput.of_field("clip_outliers", "is not above 0", fix="Use True, or deviations such as 6.0.")


PRESETS = {
    "safe": CleaningPolicy(drop_broken=True, missing="drop_without_target", drop_duplicates=True),
    "strict": CleaningPolicy(
        drop_constant=True,
        drop_broken=True,
        missing="drop",
        drop_duplicates=True,
        drop_conflicts=True,
        drop_near_duplicates=True,
        drop_mislabelled=True,
        clip_outliers=True,
    ),
}


@dataclass(frozen=True)
class CleaningStep:
    """What one step did."""

    name: str
    changed_rows: int
    rows_left: int
    detail: str = ""


@dataclass(frozen=True)
class CleaningReport:
    """What cleaning did; prints as a table."""

    rows_before: int
    rows_after: int
    steps: tuple[CleaningStep, ...]

    def __rich__(self) -> Table:
        from rich.table import Table

        table = Table(title=f"{self.rows_before:,} rows before, {self.rows_after:,} after", title_justify="left")
        for heading in ("step", "rows changed", "rows left", ""):
            table.add_column(heading, justify="right" if heading.startswith("rows") else "left")
        for step in self.steps:
            table.add_row(step.name.replace("_", " "), f"{step.changed_rows:,}", f"{step.rows_left:,}", step.detail)
        return table

    def __str__(self) -> str:
        return render(self)


class Cleaned(NamedTuple):
    """The clean data and the report of what was done: `data, report = data.clean("safe")`."""

    data: Dataset
    report: CleaningReport

    def __str__(self) -> str:
        return str(self.report)


def clean(data: Dataset, policy: Profile | CleaningPolicy | str | None = None, **choices: Any) -> Cleaned:
    """The data with what `policy` says put right: a CleaningPolicy, "safe", "strict", or a profile's proposal.

    `choices` are settings of CleaningPolicy by name: `clean(drop_conflicts=True)` does only that,
    `clean("safe", drop_conflicts=True)` does that as well, `clean()` is "safe". Columns to drop add to the policy's.

    Looks at all rows, streamed; near duplicates and labels are compared among as many rows as a profile measures.
    Columns go first, then broken files, missing values, equal rows, near ones, overlap, labels; numbers are clipped
    last. Raises InvalidInput for an unknown preset, choice or column.
    """
    chosen = policy_of(policy, choices)
    rows_before, done = len(data), []
    for name, wanted, apply in _plan(chosen):
        if not wanted:
            continue
        data, changed_rows, detail = apply(data, chosen)
        done.append(CleaningStep(name, changed_rows, len(data), detail))
    return Cleaned(data, CleaningReport(rows_before, len(data), tuple(done)))


def policy_of(policy: Profile | CleaningPolicy | str | None, choices: Mapping[str, Any]) -> CleaningPolicy:
    """The policy that is meant. Raises InvalidInput."""
    known = [field.name for field in fields(CleaningPolicy)]
    for name in choices:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            fix = f"Did you mean {near[0]}?" if near else f"There are {', '.join(known)}."
            raise InvalidInput.of_field(name[:64], "is nothing that cleaning does", fix=fix)
    if policy is None:
        return CleaningPolicy(**choices) if choices else PRESETS["safe"]
    meant, own = _policy(policy), CleaningPolicy(**choices)
    return replace(meant, **{**choices, "drop_columns": (*meant.drop_columns, *own.drop_columns)})


def _policy(policy: Profile | CleaningPolicy | str) -> CleaningPolicy:
    if isinstance(policy, CleaningPolicy):
        return policy
    if isinstance(policy, str):
        if policy not in PRESETS:
            fix = f"Use {' or '.join(map(repr, PRESETS))}, or a CleaningPolicy."
            raise InvalidInput.of_field("policy", f"{policy[:64]!r} does not exist", fix=fix)
        return PRESETS[policy]
    return policy.policy()


def propose(profile: Profile) -> CleaningPolicy:
    """What a profile's findings call for and no person need judge.

    Leaking columns, conflicts, labels and outliers stay, because they may be right; ids, constant and empty columns go.
    """
    columns = [finding.column for finding in profile.of_check("leak") if finding.evidence.get("id")]
    columns += [
        finding.column
        for finding in profile.of_check("constant")
        if finding.severity == "medium" and finding.column not in columns
    ]
    without_target = any(finding.severity == "high" for finding in profile.of_check("missing"))
    repeated = any(not finding.evidence["few_combinations"] for finding in profile.of_check("duplicate"))
    return CleaningPolicy(
        drop_columns=tuple(columns),
        drop_broken=bool(profile.of_check("broken")),
        missing="drop_without_target" if without_target else "keep",
        drop_duplicates=repeated,
        seed=profile.seed,
    )


_Apply = Callable[["Dataset", CleaningPolicy], steps.Outcome]


def _drop_overlap(data: Dataset, policy: CleaningPolicy) -> steps.Outcome:
    other = policy.drop_overlap
    return steps.Outcome(data, 0) if other is None else steps.drop_overlap(data, other, seed=policy.seed)


def _plan(policy: CleaningPolicy) -> tuple[tuple[str, bool, _Apply], ...]:
    return (
        ("drop_columns", bool(policy.drop_columns), lambda data, policy: steps.drop_columns(data, policy.drop_columns)),
        ("drop_constant", policy.drop_constant, lambda data, _: steps.drop_constant(data)),
        ("drop_broken", policy.drop_broken, lambda data, _: steps.drop_broken(data)),
        (
            f"missing_{policy.missing}",
            policy.missing != "keep",
            lambda data, policy: steps.drop_missing(data, only_target=policy.missing == "drop_without_target"),
        ),
        ("drop_conflicts", policy.drop_conflicts, lambda data, _: steps.drop_conflicts(data)),
        ("drop_duplicates", policy.drop_duplicates, lambda data, _: steps.drop_duplicates(data)),
        ("drop_near_duplicates", policy.drop_near_duplicates, lambda data, p: steps.drop_near(data, seed=p.seed)),
        ("drop_overlap", policy.drop_overlap is not None, _drop_overlap),
        ("drop_mislabelled", policy.drop_mislabelled, lambda data, p: steps.drop_mislabelled(data, seed=p.seed)),
        ("clip_outliers", bool(policy.clip_outliers), lambda data, p: steps.clip_outliers(data, p.clip_outliers)),
    )
