"""Fonts that have the letters of a text: class names and titles come in any script, and a missing letter is drawn as a box.

DejaVu Sans comes with matplotlib and has Latin, Greek, Cyrillic and Arabic letters; fonts for other scripts must be installed.
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
FALLBACKS = (  # beginnings of family names, best first: Linux, then Windows and macOS, then fonts with nearly everything
    "Noto Sans", "Source Han Sans", "WenQuanYi", "Droid Sans Fallback", "IPAGothic", "NanumGothic",
    "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Nirmala UI", "Leelawadee UI", "Segoe UI", "Ebrima",
    "PingFang", "Hiragino Sans", "Apple SD Gothic Neo", "Arial Unicode MS", "FreeSans", "Unifont",
)  # fmt: skip
STYLES = ("Mono", "Display", "Condensed", "Light", "Thin", "Medium", "Semi", "Bold", "Black", "Symbol", "Emoji")
UNUSABLE = ("Last Resort", "cm", "STIX")  # boxes for all characters; letters at the places of others
VARIATION_SELECTORS = range(0xFE00, 0xFE10)
UNPRINTABLE = ("Cc", "Cs", "Co", "Cn", "Zl", "Zp")  # Unicode categories: control characters, unassigned, line ends


def matplotlib_families() -> list[str]:
    """Installed families for `font.family`, in the order in which matplotlib looks for a letter; the first is DejaVu Sans."""
    installed = _installed()
    found = [name for start in FALLBACKS for name in installed if name.startswith(start) and not _styled(name)]
    return [DEFAULT, *dict.fromkeys(found)]


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont:
    """The first installed font, in pixels of this size, that has all letters of the text, or most of them."""
    path = fontManager.findfont(_family_for(text))
    return ImageFont.truetype(str(path), size, index=getattr(path, "face_index", 0))


def readable(texts: Sequence[str], families: Sequence[str] | None = None) -> list[str]:
    r"""The texts, with the letters that no font has as escapes (`\u732b`), and one line in the log if there are such.

    families: those that share a text's letters, as `matplotlib_families` in a figure; else each text has the one `font_for` it.
    """
    shared = set().union(*map(_letters, families)) if families else None
    found, lacking = [], set()
    for text in texts:
        letters = shared if shared is not None else _letters(_family_for(text))
        lacking |= {letter for letter in text if _seen(letter) and ord(letter) not in letters}
        found.append("".join(_drawn(letter, letters) for letter in text))
    if lacking:
        some = "".join(sorted(lacking)[:8]).encode("ascii", "backslashreplace").decode()
        logger.warning(
            "%d characters are written as escapes (%s), because no installed font has all characters of their names; "
            "install a font of their script, for example Noto Sans or Noto Sans CJK",
            len(lacking),
            some,
        )
    return found


def _drawn(letter: str, letters: Collection[int]) -> str:
    if ord(letter) in letters and unicodedata.category(letter) not in UNPRINTABLE:
        return letter
    if _is_invisible(letter):
        return ""
    return letter.encode("unicode_escape").decode()


def _seen(letter: str) -> bool:
    return unicodedata.category(letter) not in UNPRINTABLE and not _is_invisible(letter)


def _is_invisible(letter: str) -> bool:
    """Joiners, direction marks and variation selectors: nothing is lost where a font lacks them."""
    return unicodedata.category(letter) == "Cf" or ord(letter) in VARIATION_SELECTORS


def _family_for(text: str) -> str:
    wanted = {ord(letter) for letter in text if _seen(letter)}
    best, most = DEFAULT, -1
    for family in _candidates():
        had = len(wanted & _letters(family))
        if had == len(wanted):
            return family
        if had > most:
            best, most = family, had
    return best


def _candidates() -> Iterable[str]:
    """Families to try in turn: the preferred, then all others."""
    yield from (preferred := matplotlib_families())
    yield from (name for name in _installed() if name not in preferred and not _styled(name))


def _styled(name: str) -> bool:
    return any(style in name for style in STYLES)


@cache
def _installed() -> list[str]:
    """All usable families, sorted. Matplotlib's own list is a file that it does not renew when a font is installed."""
    known = {entry.fname for entry in fontManager.ttflist}
    for path in sorted(set(findSystemFonts()) - known):
        try:
            fontManager.addfont(path)
        except (OSError, RuntimeError, ValueError, UnicodeError):  # damaged, or of a kind that matplotlib does not draw
            continue
    return sorted({entry.name for entry in fontManager.ttflist if not entry.name.startswith(UNUSABLE)})


@cache
def _letters(family: str) -> frozenset[int]:
    """Code points that a family's regular font has; none if it cannot be drawn at any size."""
    try:
        path = fontManager.findfont(family, fallback_to_default=False)
        ImageFont.truetype(str(path), 16)
        return frozenset(FT2Font(str(path)).get_charmap())
    except (OSError, RuntimeError, ValueError):
        return frozenset()
