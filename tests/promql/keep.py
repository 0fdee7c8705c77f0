"""Writes what a real Prometheus says, for machines without one: python -m tests.promql.keep"""

from __future__ import annotations

import asyncio
import json
import lzma
import tempfile
from pathlib import Path

from tests.promql.answers import KEPT, ask_prometheus
from tests.promql.expressions import EXPRESSIONS, REFUSED
from tests.promql.prometheus import running_prometheus
from tests.promql.scenarios import SCENARIOS, Scenario
from tests.promql.series import platform
from tests.promql.verdicts import KEPT_VERDICTS, ask_promtool, judge, written


async def main() -> None:
    """Ask everything and write the files."""
    with tempfile.TemporaryDirectory() as directory:
        kept = {each.name: await _confirmed(each, Path(directory)) for each in SCENARIOS}
        async with running_prometheus(Path(directory)) as server:
            await server.write(platform())
            answers = {each: await ask_prometheus(server, each) for each in (*EXPRESSIONS, *REFUSED)}
    KEPT.write_bytes(lzma.compress(json.dumps(answers, separators=(",", ":")).encode()))
    KEPT_VERDICTS.write_bytes(lzma.compress(json.dumps(kept, separators=(",", ":")).encode()))


async def _confirmed(scenario: Scenario, directory: Path) -> dict[str, list[str]]:
    verdicts = await judge(scenario)
    against = ask_promtool(scenario, verdicts, directory)
    if against:
        raise SystemExit(against)
    return written(verdicts)


if __name__ == "__main__":
    asyncio.run(main())
