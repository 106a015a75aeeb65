"""Formats numbers and names for output."""

from typing import Any

import pandas as pd

GAP = "—"


def per_cent(value: float | None, sign: bool = False) -> str:
    """A fraction in per cent with two decimals, `—` if it is missing: 0.71664 -> `71.66`."""
    if value is None or pd.isna(value):
        return GAP
    rounded = round(100 * value, 2) + 0.0  # adding 0.0 turns -0.0 into 0.0
    return f"{rounded:{'+' if sign else ''}.2f}".replace("-", "\N{MINUS SIGN}")


def interval(low: float | None, high: float | None, sign: bool = False) -> str:
    """An interval of fractions in per cent, `—` if it is missing: `71.10 to 72.23`."""
    if low is None or high is None or pd.isna(low) or pd.isna(high):
        return GAP
    return f"{per_cent(low, sign)} to {per_cent(high, sign)}"


def p_value(value: float | None) -> str:
    """A p with two significant digits, `—` if it is missing; very small ones as `<1e-11`, below which no digit is exact."""
    if value is None or pd.isna(value):
        return GAP
    return "<1e-11" if value < 1e-11 else f"{value:.2g}".replace("-", "\N{MINUS SIGN}")


def count(value: Any) -> str:
    """An integer with separated thousands: 35360 -> `35,360`."""
    return GAP if pd.isna(value) else f"{int(value):,}"


def markdown_escape(text: str) -> str:
    """Escapes pipes, stars, underscores, backticks, brackets and `<`, so that Markdown shows them literally."""
    for character in "\\|*_`[]<#":
        text = text.replace(character, f"\\{character}")
    return text
