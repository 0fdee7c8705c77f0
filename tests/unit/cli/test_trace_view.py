"""The tree that `lepton trace` prints, as golden text."""

from __future__ import annotations

from rich.console import Console

from lepton_ai.cli.trace_view import format_duration_us, render_trace
from tests.unit.traces.samples import FAILED, PREDICTION, WATCHED, Sample
from tests.unit.traces.test_tree import trace_of


def printed(*samples: Sample, width: int = 100) -> str:
    console = Console(width=width, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as captured:
        console.print(render_trace(trace_of(*samples)))
    return captured.get()


PREDICTION_AT_100 = """\
trace eafe895eb8119e6e5d06463590b2ef81  41.2 ms · 14 spans · 4 services
lepton-cli lepton.v1.InferenceService/Predict                   41.2 ms  ━━━━━━━━━━━━━━━━━━━━━━━━━━━
└─ inference lepton.v1.InferenceService/Predict                 39.4 ms  ━━━━━━━━━━━━━━━━━━━━━━━━━━
   ├─ inference preprocess                                      9.80 ms  ━━━━━━━
   │  └─ preprocess preprocess batch ×4                         8.50 ms   ━━━━━━
   │     ├─ preprocess decode_image                             5.10 ms   ━━━━
   │     └─ preprocess resize                                   2.70 ms      ━━━
   ├─ inference queue                                           3.00 ms         ━━
   ├─ inference compute                                         24.9 ms           ━━━━━━━━━━━━━━━━━
   ├─ inference batch ×4 (1 link)                               24.8 ms           ━━━━━━━━━━━━━━━━━
   │  └─ inference inference.GRPCInferenceService/ModelInfer    24.3 ms           ━━━━━━━━━━━━━━━━
   │     └─ triton-inference-server InferRequest                23.5 ms           ━━━━━━━━━━━━━━━━
   │        └─ triton-inference-server efficientnet-lite0--v1   23.3 ms           ━━━━━━━━━━━━━━━━
   │           ├─ queue                                         2.10 ms            ╌
   │           └─ triton-inference-server compute               20.9 ms             ━━━━━━━━━━━━━━
   │              ├─ compute input                               600 µs             ─
   │              ├─ compute infer                              19.7 ms             ──────────────
   │              └─ compute output                              600 µs                          ─
   └─ inference postprocess                                      700 µs                           ━
"""

FAILED_AT_80 = """\
trace eafe895eb8119e6e5d06463590b2ef81
6.00 ms · 3 spans · 3 services · 3 errors
✗ lepton-cli lepton.v1.InferenceService/Predict:…   6.00 ms  ━━━━━━━━━━━━━━━━━━━
└─ ✗ inference lepton.v1.InferenceService/Predic…   4.90 ms    ━━━━━━━━━━━━━━━━
   └─ ✗ preprocess decode_image: 猫.jpg is not a…   2.20 ms      ━━━━━━━━
✗ 猫.jpg is not an image <b>&</b>
"""


def test_a_prediction_from_the_client_into_triton() -> None:
    assert printed(*PREDICTION) == PREDICTION_AT_100


def test_errors_are_marked_and_explained_and_long_names_are_cut_at_their_width() -> None:
    assert printed(*FAILED, width=80) == FAILED_AT_80


def test_where_nothing_failed_nothing_is_said_below_lines_that_are_cut() -> None:
    shown = printed(*PREDICTION, width=60)
    assert "efficientnet-lite0--v1" not in shown, "its line was cut"
    assert shown.splitlines()[-1].startswith("   └─ inference postprocess")
    assert "✗" not in shown


def test_a_watch_runs_out_of_the_picture_and_its_end_is_no_error() -> None:
    _, deploy, watch = printed(*WATCHED, width=100).splitlines()
    assert deploy.endswith("━━━━━━━━━━━━━━━━━━━━━") and "30.0 ms" in deploy
    assert "(caller left)" in watch and watch.endswith("━…") and "✗" not in watch


def test_a_missing_parent_is_said() -> None:
    lines = printed(*PREDICTION[3:6]).splitlines()

    assert lines[1] == "parent 13f067b1936b7234 was not received"
    assert lines[2].startswith("└─ preprocess preprocess batch ×4")


def test_names_cannot_steer_the_terminal() -> None:
    text = printed(Sample("x", "\x1b[31m猫", 0, 5, operation="a\nb\u202e", tags={"lepton.batch.size": "\x07"}))

    assert "\x1b" not in text
    assert "\x07" not in text
    assert "�[31m猫 a�b� ×�" in text
    assert len(text.splitlines()) == 2


def test_names_are_no_markup() -> None:
    assert "[bold]x[/bold]" in printed(Sample("x", "s", 0, 5, operation="[bold]x[/bold]"))


def test_a_narrow_terminal_and_an_empty_trace_still_show_something() -> None:
    assert "0 µs" in printed(Sample("x", "a", 0, 0), width=20)


def test_durations_have_three_digits() -> None:
    shown = [format_duration_us(value) for value in (0, 999, 1000, 4_350, 41_234, 999_400, 1_200_000, 75_000_000)]

    assert shown == ["0 µs", "999 µs", "1.00 ms", "4.35 ms", "41.2 ms", "999 ms", "1.20 s", "75.0 s"]
