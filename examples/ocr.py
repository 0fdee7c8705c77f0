"""Chinese and English text in pictures: PP-OCRv4 as two packages, called one after the other.

    python -m examples.ocr [PICTURE]

`ocr-areas` answers a mask of where text stands in a page, `ocr` reads one line. Without a picture it
draws a page. The models and the font come from packages (examples/requirements.txt); only their files are read.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import yaml
from PIL import Image, ImageDraw, ImageFont, ImageOps
from scipy import ndimage  # type: ignore[import-untyped]  # comes with scikit-learn

import lepton_ai as la
from examples.efficientnet_lite0 import package_directory

READER = "ocr"
FINDER = "ocr-areas"
PAGE = ("高可用大规模模型推理服务平台", "Lepton serves trained models.", "订单号：A-10293，金额 128.50 元")
_SIDE = 960
_LINE_GROWTH = 1.6
"""How far the finder's areas, which are shrunk, grow again: PP-OCR's ratio of area to circumference."""


def models_directory() -> Path:
    """Where the package keeps its models."""
    return package_directory("rapidocr_onnxruntime") / "models"


def draw_lines(lines: Sequence[str], *, size: int = 36, ink: str = "black", paper: str = "white") -> bytes:
    """A PNG with lines of text, Chinese or English, below one another."""
    font = ImageFont.truetype(package_directory("pylopdf_fonts_zh_cn") / "NotoSansSC-Regular.otf", size)
    width = max(round(font.getlength(line)) for line in lines) + size
    picture = Image.new("RGB", (width, 2 * size * len(lines)), paper)
    draw = ImageDraw.Draw(picture)
    for row, line in enumerate(lines):
        draw.text((size // 2, size * (2 * row + 1)), line, font=font, fill=ink, anchor="lm")
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def write_reader(directory: Path) -> Path:
    """Write the package that reads a line into `directory`, replacing what is there."""
    model = models_directory() / "ch_PP-OCRv4_rec_infer.onnx"
    # The model carries its alphabet; a space comes last, and the blank, which goes without saying, first.
    metadata = {entry.key: entry.value for entry in onnx.load(model).metadata_props}
    alphabet = metadata["character"].removesuffix("\n") + "\n \n"
    description = {
        "format": 1,
        "name": READER,
        "description": "PP-OCRv4: what a line of Chinese or English says.",
        "model": {"file": "model.onnx", "format": "onnx"},
        "inputs": [{"name": "x", "dtype": "FP32", "shape": [-1, 3, 48, -1]}],
        "outputs": [{"name": "softmax_11.tmp_0", "dtype": "FP32", "shape": [-1, -1, 6625]}],
        "preprocess": {
            "inputs": {"line": "image"},
            "steps": [{"op": "decode_image"}, {"op": "resize", "size": 48, "side": "height"}, *_normalized()],
        },
        "postprocess": [{"op": "ctc", "alphabet": "alphabet.txt"}],
        "golden": [{"inputs": {"line": "golden/line.png"}, "expect": {"text": PAGE[0]}}],
    }
    files = {"alphabet.txt": alphabet.encode(), "golden/line.png": draw_lines(PAGE[:1])}
    return _write(directory, model, description, files)


def write_finder(directory: Path) -> Path:
    """Write the package that finds text in a page into `directory`, replacing what is there."""
    description = {
        "format": 1,
        "name": FINDER,
        "description": "PP-OCRv4: where text stands in a picture.",
        "model": {"file": "model.onnx", "format": "onnx"},
        "inputs": [{"name": "x", "dtype": "FP32", "shape": [-1, 3, _SIDE, _SIDE]}],
        "outputs": [{"name": "sigmoid_0.tmp_0", "dtype": "FP32", "shape": [-1, 1, _SIDE, _SIDE]}],
        "max_batch_size": 1,
        "preprocess": {
            "inputs": {"page": "image"},
            "steps": [
                {"op": "decode_image"},
                {"op": "resize", "size": _SIDE, "side": "longer"},
                {"op": "pad", "size": _SIDE, "fill": 127},
                *_normalized(),
            ],
        },
        "postprocess": [{"op": "mask", "threshold": 0.3, "labels": "labels.txt"}],
        "golden": [{"inputs": {"page": "golden/page.png"}, "expect": {"label": "text", "top_k": 2}}],
    }
    files = {"labels.txt": b"background\ntext\n", "golden/page.png": draw_lines(PAGE)}
    return _write(directory, models_directory() / "ch_PP-OCRv4_det_infer.onnx", description, files)


def read_page(client: la.Client, page: bytes) -> list[str]:
    """The lines of text in a picture, from top to bottom."""
    mask = client.predict(FINDER, page).mask
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(page))).convert("RGB")
    lines = []
    for box in line_boxes(mask.classes) if mask else []:
        content = io.BytesIO()
        picture.crop(box).save(content, "PNG")
        lines.append(content.getvalue())
    answers = client.predict_batch(READER, lines).predictions if lines else ()
    return [answer.text or "" for answer in answers]


def line_boxes(classes: npt.NDArray[np.uint16]) -> list[tuple[int, int, int, int]]:
    """Left, top, right, bottom around each area of text in a mask, from top to bottom."""
    labelled, _ = ndimage.label(classes)
    boxes = []
    for rows, columns in ndimage.find_objects(labelled):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if min(height, width) < 3:
            continue
        grown = round(height * width * _LINE_GROWTH / (2 * (height + width)))
        left, top = max(0, columns.start - grown), max(0, rows.start - grown)
        boxes.append((left, top, columns.stop + grown, rows.stop + grown))
    return sorted(boxes, key=lambda box: (box[1], box[0]))


def _normalized() -> list[dict[str, object]]:
    """The models were trained with OpenCV, on colours from -1 to 1."""
    return [
        {"op": "to_tensor", "channels": "BGR"},
        {"op": "normalize", "scale": 1 / 255, "mean": 0.5, "std": 0.5, "output": "x"},
    ]


def _write(directory: Path, model: Path, description: dict[str, object], files: dict[str, bytes]) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "golden").mkdir(parents=True)
    shutil.copy(model, directory / "model.onnx")
    for name, content in files.items():
        (directory / name).write_bytes(content)
    # Last: a directory with a lepton.yaml is complete.
    text = yaml.safe_dump(description, sort_keys=False, allow_unicode=True)
    (directory / "lepton.yaml").write_text(text, encoding="utf-8")
    return directory


def main() -> None:
    """Serve both packages where a stack runs, and read a page with them."""
    page = Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else draw_lines(PAGE)
    with la.Client() as client, tempfile.TemporaryDirectory() as folder:
        for name, write_package in ((FINDER, write_finder), (READER, write_reader)):
            version = client.push(write_package(Path(folder) / name))
            client.deploy(f"{name}@{version.version}")
        print("\n".join(read_page(client, page)))


if __name__ == "__main__":
    main()
