"""Fonts that contain the letters of a text: class names and titles may use any script, and a missing letter appears as a box.

DejaVu Sans comes with matplotlib and covers Latin, Greek, Cyrillic and Arabic; fonts for other scripts must be installed.
"""

import logging
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from functools import cache

from matplotlib.font_manager import findSystemFonts, fontManager
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

logger = logging.getLogger(__name__)
DEFAULT = "DejaVu Sans"
FALLBACKS = (  # prefixes of family names, best first: Linux, then Windows and macOS, then fonts with nearly all letters
    "Noto Sans", "Source Han Sans", "WenQuanYi", "Droid Sans Fallback", "IPAGothic", "NanumGothic",
    "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Nirmala UI", "Leelawadee UI", "Segoe UI", "Ebrima",
    "PingFang", "Hiragino Sans", "Apple SD Gothic Neo", "Arial Unicode MS", "FreeSans", "Unifont",
)  # fmt: skip
STYLES = ("Mono", "Display", "Condensed", "Light", "Thin", "Medium", "Semi", "Bold", "Black", "Symbol", "Emoji")
UNUSABLE = ("Last Resort", "cm", "STIX")  # they draw boxes for all characters, or different letters
VARIATION_SELECTORS = range(0xFE00, 0xFE10)
UNPRINTABLE = ("Cc", "Cs", "Co", "Cn", "Zl", "Zp")  # Unicode categories: control characters, unassigned, line ends


def matplotlib_families() -> list[str]:
    """Installed families for `font.family`, in the order in which matplotlib searches for a letter; DejaVu Sans is first."""
    installed = _installed()
    fallbacks = [name for start in FALLBACKS for name in installed if name.startswith(start) and not _styled(name)]
    return [DEFAULT, *dict.fromkeys(fallbacks)]


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont:
    """The first installed font with all letters of the text, or else the font with most of them; size in pixels."""
    path = fontManager.findfont(_family_for(text))
    return ImageFont.truetype(str(path), size, index=getattr(path, "face_index", 0))


def readable(texts: Sequence[str], families: Sequence[str] | None = None) -> list[str]:
    r"""The texts with letters that no font contains replaced by escapes (`\u732b`). Logs one line if there are any.

    families: fonts that together draw each text, such as `matplotlib_families` in a figure; by default, each text uses `font_for`.
    """
    shared = set().union(*map(_letters, families)) if families else None
    result, missing = [], set()
    for text in texts:
        letters = shared if shared is not None else _letters(_family_for(text))
        missing |= {letter for letter in text if _visible(letter) and ord(letter) not in letters}
        result.append("".join(_drawn(letter, letters) for letter in text))
    if missing:
        some = "".join(sorted(missing)[:8]).encode("ascii", "backslashreplace").decode()
        logger.warning(
            "%d characters are written as escapes (%s), because no installed font contains all characters of the names; "
            "install a font for their script, for example Noto Sans or Noto Sans CJK",
            len(missing),
            some,
        )
    return result


def _drawn(letter: str, letters: Collection[int]) -> str:
    if ord(letter) in letters and unicodedata.category(letter) not in UNPRINTABLE:
        return letter
    if _is_invisible(letter):
        return ""
    return letter.encode("unicode_escape").decode()


def _visible(letter: str) -> bool:
    return unicodedata.category(letter) not in UNPRINTABLE and not _is_invisible(letter)


def _is_invisible(letter: str) -> bool:
    """Whether a letter is a joiner, direction mark or variation selector, which a font need not contain."""
    return unicodedata.category(letter) == "Cf" or ord(letter) in VARIATION_SELECTORS


def _family_for(text: str) -> str:
    wanted = {ord(letter) for letter in text if _visible(letter)}
    best, most = DEFAULT, -1
    for family in _candidates():
        had = len(wanted & _letters(family))
        if had == len(wanted):
            return family
        if had > most:
            best, most = family, had
    return best


def _candidates() -> Iterable[str]:
    """Families in the order to try them: first the preferred ones, then all others."""
    yield from (preferred := matplotlib_families())
    yield from (name for name in _installed() if name not in preferred and not _styled(name))


def _styled(name: str) -> bool:
    return any(style in name for style in STYLES)


@cache
def _installed() -> list[str]:
    """All usable families, sorted. Matplotlib caches its own list and does not update it when a font is installed."""
    known = {entry.fname for entry in fontManager.ttflist}
    for path in sorted(set(findSystemFonts()) - known):
        try:
            fontManager.addfont(path)
        except (OSError, RuntimeError, ValueError, UnicodeError):  # corrupt, or a format that matplotlib cannot draw
            continue
    return sorted({entry.name for entry in fontManager.ttflist if not entry.name.startswith(UNUSABLE)})


@cache
def _letters(family: str) -> frozenset[int]:
    """Code points in a family's regular font; empty if the font cannot be drawn at every size."""
    try:
        path = fontManager.findfont(family, fallback_to_default=False)
        ImageFont.truetype(str(path), 16)
        return frozenset(FT2Font(str(path)).get_charmap())
    except (OSError, RuntimeError, ValueError):
        return frozenset()
