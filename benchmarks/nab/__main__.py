"""`python -m benchmarks.nab PATH`: the detector of metrics on the Numenta Anomaly Benchmark, whose data is not ours."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.nab.tables import measure
from benchmarks.report import markdown, show


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--markdown", "document", type=click.Path(dir_okay=False, path_type=Path), help="Write the tables here.")
def main(path: Path, document: Path | None) -> None:
    """Score the series in PATH: a folder or an archive of github.com/numenta/NAB or of a part of it."""
    reports = measure(path)
    for report in reports:
        show(report)
    if document is not None:
        document.write_text("\n".join(markdown(report) for report in reports), encoding="utf-8")


if __name__ == "__main__":
    main()
