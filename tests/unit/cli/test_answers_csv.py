"""The CSV file of `lepton predict --csv`: what was sent in its own order, then the answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lepton_ai.cli.answers_csv import write_answers
from lepton_ai.cli.examples import Example
from lepton_ai.postprocessing import Label, Labels
from lepton_ai.postprocessing.answers import Number, Numbers
from lepton_ai.prediction import Prediction

OLD, SHANGHAI = Label(1, "老", 0.75), Label(0, "沪", 0.5)


def written(folder: Path, *predictions: Prediction) -> list[str]:
    examples = [Example(f"row {number}", f"row {number}", {"年龄": 66 + number}) for number in range(len(predictions))]
    write_answers(folder / "out.csv", examples, predictions)
    return (folder / "out.csv").read_text(encoding="utf-8").splitlines()


def test_columns_of_labels_stand_together_however_many_the_first_row_has(tmp_path: Path) -> None:
    one, two = (Prediction(Labels(labels), None, "p") for labels in ((OLD,), (OLD, SHANGHAI)))
    assert written(tmp_path, one, two) == [
        "input,年龄,label,score,label_2,score_2,prediction_id,anomalies,error",
        "row 0,66,老,0.75,,,p,,",
        "row 1,67,老,0.75,沪,0.5,p,,",
    ]


def test_numbers_are_written_once(tmp_path: Path) -> None:
    answer = Numbers((Number("面积", 88.0, "m²"), Number("单价", 3.5, "")))
    told = Prediction(answer, None, "p", (), {"values": np.array([88.0, 3.5])})
    assert written(tmp_path, told)[0] == "input,年龄,number.面积,number.单价,prediction_id,anomalies,error"
