"""What was measured: how soon the platform recovered from each fault, and how many calls failed meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Recovery:
    """One line of the table in docs/reliability.md."""

    fault: str
    until: str
    seconds: float
    failed: int | None
    answered: int | None


@dataclass
class Recoveries:
    """All measurements of a session; printed at its end."""

    rows: list[Recovery] = field(default_factory=list)

    def record(
        self, fault: str, until: str, seconds: float, *, failed: int | None = None, answered: int | None = None
    ) -> None:
        """`until` says what it took these seconds for; calls are counted over the whole load around the fault."""
        self.rows.append(Recovery(fault, until, seconds, failed, answered))

    def lines(self) -> list[str]:
        """A Markdown table."""
        head = ["| fault | until | seconds | calls failed | calls answered |", "|---|---|---:|---:|---:|"]
        return head + [
            f"| {row.fault} | {row.until} | {row.seconds:.1f} | {_count(row.failed)} | {_count(row.answered)} |"
            for row in self.rows
        ]


def _count(number: int | None) -> str:
    return "–" if number is None else str(number)
