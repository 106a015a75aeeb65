"""A table as it is shown: text cells with their numbers behind them."""

from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd


class Cell(NamedTuple):
    """What stands in one place of a table; `best` is shown in bold."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table in all its forms.

    tidy: one row per number, accuracies as fractions; wide: the same numbers in the shape of the table.
    header, rows: the rendered form in per cent. The first `labels` columns name a row; a rule is drawn between blocks of
    rows that share the first of them. notes: footnotes, in order.
    """

    name: str
    title: str
    caption: str
    tidy: pd.DataFrame
    wide: pd.DataFrame
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    labels: int
    notes: tuple[str, ...]

    def blocks(self) -> list[list[tuple[Cell, ...]]]:
        """Rows in blocks of equal first cell; the first cell stands only once in each."""
        blocks: list[list[tuple[Cell, ...]]] = []
        for place, row in enumerate(self.rows):
            if self.labels > 1 and place and row[0] == self.rows[place - 1][0]:
                blocks[-1].append((Cell(""), *row[1:]))
            elif self.labels > 1 or not blocks:
                blocks.append([row])
            else:
                blocks[-1].append(row)
        return blocks
