"""What services say is said in Chinese, too: every sentence of theirs that the page shows stands in its table."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.health.alerts.causes.queries import FAILURES, HOGS, PRESSURES, SILENT
from tests.console import chinese_sentences

ROOT = Path(__file__).parents[4]
_PLACE = re.compile(r"\{([*=]?\w+)\}")
_RULE_VALUE = re.compile(r"\{\{.*?\}\}")
LOGGERS = {"_log", "_LOG"}
SPEAKERS = (
    "lepton_ai/disk.py",
    "lepton_ai/package/trial.py",
    "services/health/alerts/causes/clues.py",
    "services/health/alerts/causes/queries.py",
    "services/health/alerts/judges",
    "services/health/alerts/notify/http.py",
    "services/health/alerts/notify/messengers.py",
    "services/health/alerts/notify/sender.py",
    "services/health/alerts/panel.py",
    "services/health/alerts/slo/judge.py",
    "services/health/console",
    "services/health/detect/anomalies/wording.py",
    "services/health/detect/drift/judge.py",
    "services/health/events/changes/audit.py",
    "services/health/events/changes/deployments.py",
    "services/health/events/changes/processes.py",
    "services/health/events/changes/serving.py",
    "services/health/events/logs/judge.py",
    "services/health/feedback/judge.py",
    "services/health/metrics/scraping/fetch.py",
    "services/health/metrics/scraping/measuring.py",
    "services/health/observe/assessment.py",
    "services/health/observe/golden.py",
    "services/health/observe/machine.py",
    "services/health/observe/observer.py",
    "services/health/observe/probes.py",
    "services/health/observe/replicas.py",
    "services/health/promql/rules/judge.py",
    "lepton_ai/mesh/calling/link.py",
    "lepton_ai/mesh/calling/pool.py",
    "services/inference/lifecycle/version_life.py",
    "services/inference/preprocessing",
    "services/inference/routing/routes.py",
    "services/inference/triton/errors.py",
    "services/registry/rollouts/conditions.py",
    "services/registry/rollouts/judging",
    "services/registry/rollouts/progress.py",
    "services/registry/rollouts/prometheus.py",
)
"""Files and folders that write what the page shows."""
NOT_SHOWN = frozenset(
    {
        # Questions, patterns, formats, names of tasks, commands, and what is made of numbers alone.
        "SELECT id, service, level, logger, text, first_s, last_s, example FROM templates WHERE last_s >= ?",
        *(each.query for each in (*PRESSURES, *HOGS)),
        FAILURES,
        SILENT,
        'sum by (code) (rate(lepton_requests_total{model="{}", code!~"OK|CANCELLED"}[1m]))',
        "sum by (caller, service) ({})",
        "histogram_quantile({}, sum by (caller, service, le) ({}))",
        "histogram_quantile({}, sum by (le) ({}))",
        'label_replace(label_replace({}, "caller", "inference", "", ""), "service", "{}", "", "")',
        "SELECT bucket, count FROM counts WHERE template = ?",
        "(?:error=|code=|failed: )(\\d{3,6})\\b",
        "GET /metrics HTTP/1.0\r\nHost: {}\r\nAccept: {}\r\n\r\n",
        "retry: 1000\n\n",
        "event: {}\ndata: {}\n\n",
        "({}) and on ({}) ({{}})",
        "{} ms",
        "Basic {}",
        "not HTTP",
        "lepton health",
        "lepton models {}",
        "lepton logs {} -n 100",
        *(f"{task} {{}}" for task in ("judge", "notify", "life of", "end of", "follow", "endpoints of", "retire")),
        "follow {} for the console",
        "follow preprocess replicas",
        "check replicas",
        "probe models",
        "watch the age of the status",
        # What metrics mean, and what to do about a page of metrics: Prometheus and the log tell it.
        "1 when the target's page was read, else 0.",
        "How long that took.",
        "How many samples the page had.",
        "Look for a disk that hangs.",
        "Let health read /proc and /sys.",
        "Use fewer labels there.",
        "Correct its address.",
        "Correct the address of the page.",
        "Use HTTP/1.0 as it says.",
        "See the log of what answers there.",
        "Start it.",
        # What to do about a call: of a test prediction only what was wrong is shown.
        "Deployed versions: {}.",
        "Try again in a moment; `lepton health` shows what each replica serves.",
        "Deployed aliases: {}.",
        "Try again in a moment; if it stays so, check that etcd is up.",
        "Deploy it with `lepton deploy`, or see `lepton models` for those that are.",
        "Allow more time, make fewer calls at once, or put many examples into one call.",
        "Start the {} service, or wait until it is ready, and try again.",
        "Allow more time.",
        "It is restarted when it has died; try again in a moment.",
        "It is being restarted; try again in a moment.",
        "Try again.",
        "It is being loaded; try again in a moment.",
        "Allow more time or send smaller batches.",
        "Send fewer rows in a call, or try again shortly.",
        "Try again; `lepton health` shows whether one is there.",
        "Send less at a time, or add preprocess replicas.",
        # Patterns by which Triton's own words are known.
        "stub process|is not healthy",
        "unknown model|no available versions|is not ready",
        "unable to find (system )?shared memory region",
        "(?:\\w+: )?\\[ONNXRuntimeError\\]|onnx runtime error \\d+: ",
        "^load failed for model .*? state: \\w+: (?:TritonModelException: )?",
        "^\\[request id: [^\\]]*\\]\\s*",
        # Faults of the program, and of requests that the page does not make.
        "A judge needs gates, and an alpha between 0 and 1.",
        "Every gate needs a name of its own.",
        "is no comparison with a number",
        "is not a number from 1 to {}",
        "is no JSON object",
        "is no JSON",
        "is larger than {} bytes",
        "is not application/json",
        "is no {}",
        "are more than {}",
        "is more than 100 %",
        "is empty, too long or taken",
        "is empty or over {} characters",
        "Give it another name.",
        "{} is no gate",
        "For instance: … < 0.01.",
        "Gates: {}.",
        "that of {} must be 0 (not judged) to 1000 %",
        "leave nothing to judge by",
        "Keep a gate, or do not have it judged.",
        "{} is not a metadata key of a text",
        "must be 1 to {} shares of at most 100 %, each larger than the one before",
        "For instance 5%,25%,50%.",
        "an A/B test has one share",
        "must be 0 to {} seconds",
        "Give one, for instance 50%, or no key.",
        "Lower-case letters, digits, '-', '_' and '.', for instance user-id.",
        "two results have the same labels after those of the rule were added",
    }
)
"""What is no sentence for people, or is not shown by the page."""


TABLE = chinese_sentences()
SAID = [_PLACE.sub("{}", english).casefold() for english in TABLE]


def is_told(sentence: str) -> bool:
    """Whether one entry says all that the sentence itself says, in this order; what it fills in may stand there."""
    parts = [part.strip(" .").casefold() for part in sentence.split("{}")]
    wanted = re.compile(".*".join(re.escape(part) for part in parts if re.search("[a-z]", part)))
    return any(wanted.search(said) for said in SAID)


def sentences(path: Path) -> Iterator[str]:
    """Texts of a module with a {} for what is filled in, but for those that are documentation or go into a log."""
    tree = ast.parse(path.read_text("utf-8"))
    passed_over = {id(each) for node in ast.walk(tree) for each in _not_for_people(node)}
    for node in ast.walk(tree):
        if id(node) in passed_over:
            continue
        text = _text(node)
        if " " in text.strip() and re.search("[a-z]{2}", text):
            yield text


def _not_for_people(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Expr):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield from node.values
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        of = node.func.value
        yield from ast.walk(node) if isinstance(of, ast.Name) and of.id in LOGGERS else ()


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in node.values)
    return ""


def modules() -> Iterator[Path]:
    for name in SPEAKERS:
        found = ROOT / name
        yield from sorted(found.rglob("*.py")) if found.is_dir() else [found]


def rule_texts() -> Iterator[tuple[str, str]]:
    document = yaml.safe_load((ROOT / "services/health/promql/rules/lepton.rules.yml").read_text("utf-8"))
    rules: list[Mapping[str, Any]] = [rule for group in document["groups"] for rule in group["rules"]]
    for rule in rules:
        for name in ("summary", "description"):
            if text := rule.get("annotations", {}).get(name):
                yield f"{rule['alert']} {name}", _RULE_VALUE.sub("{}", text)


@pytest.mark.parametrize(("name", "text"), [pytest.param(*each, id=each[0]) for each in rule_texts()])
def test_what_a_rule_says_is_told_in_chinese(name: str, text: str) -> None:
    assert is_told(text), f"{name}: {text}"


@pytest.mark.parametrize("path", [pytest.param(each, id=str(each.relative_to(ROOT))) for each in modules()])
def test_what_a_service_says_is_told_in_chinese(path: Path) -> None:
    untold = [each for each in sentences(path) if each not in NOT_SHOWN and not is_told(each)]
    assert untold == [], "write it in core/sentences_zh.js"


def test_all_that_is_not_shown_is_still_said() -> None:
    said = {each for path in modules() for each in sentences(path)}
    assert NOT_SHOWN - said == set()


def test_a_translation_fills_in_what_its_sentence_has() -> None:
    wrong = {}
    for english, chinese in TABLE.items():
        given = {name.lstrip("*=") for name in _PLACE.findall(english)}
        if set(_PLACE.findall(chinese)) != given or len(given) != len(_PLACE.findall(english)):
            wrong[english] = chinese
    assert wrong == {}


def test_a_translation_holds_no_english_words() -> None:
    """But for names: of programs, of settings, of commands, in backquotes."""
    names = r"`[^`]*`|[A-Z_]{3,}|golden|etcd|Triton|Prometheus|Jaeger|Lepton|webhook|secrets/token|url|MiB|p\d\d|A/B"
    said = {chinese: re.sub(names, "", _PLACE.sub("", chinese)) for chinese in TABLE.values()}
    assert [chinese for chinese, left in said.items() if re.search("[A-Za-z]{2}", left)] == []
