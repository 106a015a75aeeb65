"""Names on the contact sheet: letters of any script where a font has them, visible escapes where none does."""

import itertools

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager
from PIL import Image

from cocoop import fonts
from tests.data.builders import lay_out, picture

WATER, FRUIT = "水", "果"


def build_font(path, name, letters):
    """A TrueType font in which each letter is a bar of its own width, and a letter it lacks is an empty box."""
    glyphs, widths, characters = {".notdef": bar(10)}, {".notdef": (1000, 0)}, {}
    for place, letter in enumerate(letters):
        glyphs[f"g{place}"], widths[f"g{place}"], characters[ord(letter)] = (
            bar(200 + 50 * place),
            (1000, 0),
            f"g{place}",
        )
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap(characters)
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(widths)
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": name, "styleName": "Regular", "psName": name.replace(" ", "")})
    builder.setupOS2(sTypoAscender=800, usWeightClass=400)
    builder.setupPost()
    builder.save(path)
    return path


def bar(width):
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 700), (width, 700), (width, 0)):
        pen.lineTo(corner)
    pen.closePath()
    return pen.glyph()


@pytest.fixture
def installed(monkeypatch):
    """`installed(*paths)`: only matplotlib's own fonts and these are there."""
    known = list(fontManager.ttflist)
    own = [entry for entry in known if "mpl-data" in entry.fname]

    def only(*paths):
        fontManager.ttflist[:] = own
        fontManager._findfont_cached.cache_clear()
        monkeypatch.setattr(fonts, "findSystemFonts", lambda: [str(path) for path in paths])
        for kept in (fonts._installed, fonts._letters):
            kept.cache_clear()

    yield only
    fontManager.ttflist[:] = known
    fontManager._findfont_cached.cache_clear()
    for kept in (fonts._installed, fonts._letters):
        kept.cache_clear()


def drawn(workplace, number, *names):
    """The name's part of the sheet for each of these class names, and what the command printed."""
    folder = workplace.folder / f"pictures{number}"
    lay_out(
        {f"{name}/{n}.jpg": picture(n + 100 * place) for place, name in enumerate(names) for n in range(10)}, folder
    )
    workplace.run("dataset", "new", folder, "--name", f"mine{number}")
    code, printed = workplace.run("dataset", "check", f"mine{number}", "--sheet", f"{number}.png")
    assert code == 0, printed
    with Image.open(workplace.folder / f"{number}.png") as sheet:
        pixels = np.asarray(sheet.convert("L"))
    rows = [pixels[4 + 100 * row :, :236][:96] for row in range(len(names))]
    # the first letters are the class number, which differs between rows
    return dict(zip(sorted(names), [row[:, 24:] for row in rows], strict=True)), printed


def all_differ(rows):
    return all((a != b).any() for a, b in itertools.combinations(rows.values(), 2))


@pytest.mark.parametrize("names", [("собака", "кошкин"), ("قطة", "كلب"), ("αβγδ", "εζηθ"), ("cat", "dog")])
def test_scripts_of_dejavu_need_no_other_font(names, workplace, installed):
    installed()
    rows, printed = drawn(workplace, 1, *names)
    assert all_differ(rows) and "escapes" not in printed


def test_letters_without_a_font_are_visible_escapes(workplace, installed, caplog):
    installed()
    rows, _ = drawn(workplace, 1, WATER, FRUIT)
    assert all_differ(rows)
    assert [record.getMessage() for record in caplog.records if record.name == "cocoop.fonts"] == [
        r"2 characters are written as escapes (\u679c\u6c34), because no installed font contains all characters of the names; "
        "install a font for their script, for example Noto Sans or Noto Sans CJK"
    ]
    spelt, _ = drawn(workplace, 2, r"\u6c34", r"\u679c")
    assert sorted(row.tobytes() for row in rows.values()) == sorted(row.tobytes() for row in spelt.values())


@pytest.mark.parametrize("family", ["WenQuanYi Test", "A Font Nobody Knows"])
def test_a_newly_installed_font_draws_its_letters(family, workplace, installed, tmp_path, caplog):
    font = build_font(tmp_path / "new.ttf", family, f"01 {WATER}{FRUIT}")
    installed(font)
    rows, _ = drawn(workplace, 1, WATER, FRUIT)
    assert all_differ(rows)
    spans = [np.ptp(np.flatnonzero((row < 128).any(0))) for row in rows.values()]
    assert max(spans) < 20, "one bar, and not an escape of six letters"
    assert not [record for record in caplog.records if record.name == "cocoop.fonts"]


@pytest.mark.parametrize("name", ["two\nlines", "tab\there", "🍎 apple", "\u202eright to left", "x" * 200, "ไทย"])
def test_odd_names_are_drawn_without_an_error(name, workplace, installed):
    installed()
    rows, _ = drawn(workplace, 1, name, "dog")
    assert all((row < 128).any() for row in rows.values()) and all_differ(rows)


def test_a_name_stays_left_of_the_pictures(workplace, installed):
    installed()
    rows, _ = drawn(workplace, 1, "m" * 100, "dog")
    assert all((row[:, -4:] == 255).all() for row in rows.values())


def test_families_for_figures_begin_with_dejavu(installed, tmp_path):
    installed()
    assert fonts.matplotlib_families() == ["DejaVu Sans"]
    installed(
        build_font(tmp_path / "a.ttf", "WenQuanYi Test", WATER),
        build_font(tmp_path / "b.ttf", "Noto Sans Test", FRUIT),
        build_font(tmp_path / "c.ttf", "Noto Sans Mono Test", FRUIT),
    )
    assert fonts.matplotlib_families() == ["DejaVu Sans", "Noto Sans Test", "WenQuanYi Test"]
    assert fonts.readable([f"{WATER}{FRUIT}"], fonts.matplotlib_families()) == [f"{WATER}{FRUIT}"]
    assert fonts.readable([f"{WATER}{FRUIT}"]) == [rf"\u6c34{FRUIT}"]


def test_a_damaged_font_is_passed_over(workplace, installed, tmp_path):
    (tmp_path / "damaged.ttf").write_bytes(b"no font")
    installed(tmp_path / "damaged.ttf")
    rows, _ = drawn(workplace, 1, WATER, FRUIT)
    assert all_differ(rows)
