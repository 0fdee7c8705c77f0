"""Labels in any script, with the fonts that a machine has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTCollection, TTFont
from matplotlib.font_manager import FontPath
from PIL import Image, ImageDraw, ImageFont

from lepton_ai.fonts import find_font, font_properties, installed, legible, lettering, shortened
from lepton_ai.fonts.font_file import read_faces


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine of our own with matplotlib's fonts and those that a test puts into the folder."""
    folder = tmp_path / "fonts"
    folder.mkdir()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    _forget()
    yield folder
    _forget()


def _forget() -> None:
    installed.installed_faces.cache_clear()
    lettering._face.cache_clear()
    lettering._advised.clear()


def build_font(family: str, characters: str) -> TTFont:
    """A font whose every character is the same square."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for point in ((0, 900), (900, 900), (900, 0)):
        pen.lineTo(point)
    pen.closePath()
    square = pen.glyph()
    names = [".notdef", *(f"u{ord(each):05X}" for each in characters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(each): name for each, name in zip(characters, names[1:], strict=True)})
    builder.setupGlyf(dict.fromkeys(names, square))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    return builder.font


def test_a_text_has_the_first_font_that_can_draw_all_of_it(machine: Path) -> None:
    build_font("Some Hei", "猫狗cat ").save(machine / "some.ttf")
    build_font("SimHei", "猫cat ").save(machine / "simhei.ttf")
    found = [find_font(text, 20) for text in ("cat", "猫 cat", "猫狗")]
    assert all(isinstance(font, ImageFont.FreeTypeFont) for font in found)
    assert [font.getname()[0] for font in found if isinstance(font, ImageFont.FreeTypeFont)] == [
        "DejaVu Sans",
        "SimHei",
        "Some Hei",
    ]


def test_pillow_draws_the_characters_with_the_font_found(machine: Path) -> None:
    build_font("Some Hei", "猫").save(machine / "some.ttf")
    image = Image.new("L", (40, 40))
    ImageDraw.Draw(image).text((0, 0), legible("猫"), font=find_font("猫", 30), fill=255)
    assert image.getbbox() == (0, 0, 27, 27)


def test_matplotlib_draws_them_with_the_face_of_a_collection(machine: Path) -> None:
    collection = TTCollection()
    collection.fonts = [build_font("Other", "x"), build_font("Noto Sans CJK SC", "猫")]
    collection.save(machine / "noto.ttc")
    file = font_properties("猫").get_file()
    assert isinstance(file, FontPath)
    assert (file.path, file.face_index) == (str(machine / "noto.ttc"), 1)


def test_what_no_font_has_is_written_as_its_code_and_a_package_is_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert legible("a猫\n𠀀é") == "a\\u732b \\U00020000é"
    assert legible("狗 \x07") == "\\u72d7 \\x07"
    (told,) = caplog.messages
    assert "can draw 猫" in told
    assert "fonts-noto-cjk" in told


def test_pictures_among_the_letters_do_not_choose_the_font(machine: Path, caplog: pytest.LogCaptureFixture) -> None:
    build_font("Some Hei", "猫").save(machine / "some.ttf")
    assert legible("猫😀") == "猫\\U0001f600"
    assert not caplog.messages


def test_a_machine_without_fonts_still_writes_latin_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "installed_faces", tuple)
    assert legible("cat 猫") == "cat \\u732b"
    assert find_font("cat", 20).getbbox("cat")[2] > 0


@pytest.mark.parametrize("content", [b"", b"no font", b"ttcf\0\1\0\0\0\0\0\xff", b"\0\1\0\0" + b"\xff" * 400])
def test_broken_files_are_no_fonts(machine: Path, content: bytes) -> None:
    (machine / "broken.ttf").write_bytes(content)
    assert list(read_faces(machine / "broken.ttf")) == []
    assert legible("cat") == "cat"


def test_characters_are_those_that_the_font_says(machine: Path) -> None:
    wanted = "aZ猫\U00020000"
    build_font("Wide", wanted).save(machine / "wide.ttf")
    build_font("Narrow", wanted[:3]).save(machine / "narrow.ttf")
    (wide,), (narrow,) = read_faces(machine / "wide.ttf"), read_faces(machine / "narrow.ttf")
    assert wide.characters == {ord(each) for each in wanted}
    assert narrow.characters == {ord(each) for each in wanted[:3]}


def test_the_characters_of_matplotlibs_fonts_are_those_that_it_finds_itself() -> None:
    from matplotlib.ft2font import FT2Font

    for face in installed.installed_faces()[:12]:
        mapped = FT2Font(str(face.path), face_index=face.index).get_charmap()
        assert face.characters == {code for code in mapped if code < 0x110000}, face


@pytest.mark.parametrize(
    ("text", "expected"), [("short", "short"), ("a long label", "a lon…"), ("很长的名字", "很长…")]
)
def test_labels_are_cut_by_their_width(text: str, expected: str) -> None:
    assert shortened(text, 6) == expected
