"""A table and the forms it is written in: CSV, Markdown, LaTeX and text for the terminal."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

import pandas as pd
from tabulate import tabulate

from cocoop import io
from cocoop.reporting.records.text import markdown_escape

WIDTH = 110
MOST_LATEX_COLUMNS = 8
ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "|": r"$|$",
    "±": r" $\pm$ ", "−": "$-$", "—": "---", "†": r"$^\dagger$", "‡": r"$^\ddagger$", "§": r"\S{}", "¶": r"\P{}",
    "✓": r"$\surd$", "✗": r"$\times$", "·": r"$\cdot$",
}  # fmt: skip


class Cell(NamedTuple):
    """One cell of a table; `best` is shown in bold."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table in all its forms.

    Attributes:
        tidy: one row per number, accuracies as fractions.
        wide: the same numbers in the shape of the table.
        header, rows: the rendered form, in per cent.
        labels: how many of the first columns name a row.
        notes: footnotes, in order.
        blocked_by: rows that share this many first labels form a block; by default one, or none where a single label names
            a row.
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
    blocked_by: int | None = None

    @property
    def shared(self) -> int:
        """How many first labels the rows of a block share."""
        return min(1, self.labels - 1) if self.blocked_by is None else self.blocked_by

    def blocks(self) -> list[list[tuple[Cell, ...]]]:
        """The rows in blocks with the same first cells, each of which is shown only where it changes."""
        blocks: list[list[tuple[Cell, ...]]] = []
        for place, row in enumerate(self.rows):
            above, same = self.rows[place - 1] if place else (), 0
            while same < min(self.shared, len(above)) and row[same] == above[same]:
                same += 1
            shown = (*[Cell("")] * same, *row[same:])
            if blocks and same == self.shared:
                blocks[-1].append(shown)
            else:
                blocks.append([shown])
        return blocks


def write(table: Table, folder: Path) -> None:
    """Writes NAME.csv (tidy) and NAME_wide.csv, both with fractions, and NAME.md, NAME.tex and NAME.txt in per cent."""
    forms = {
        ".csv": table.tidy.to_csv(index=False, lineterminator="\n"),
        "_wide.csv": table.wide.to_csv(index=False, lineterminator="\n"),
        ".md": to_markdown(table),
        ".tex": to_latex(table),
        ".txt": to_terminal(table),
    }
    for ending, text in forms.items():
        io.write_text(Path(folder) / f"{table.name}{ending}", text)


def to_markdown(table: Table) -> str:
    """A heading, the table as a pipe table, and its footnotes."""
    grid = _grid(table, "pipe", lambda cell: _best(markdown_escape(cell.text), cell))
    notes = "".join(f"\n{markdown_escape(note)}\n" for note in table.notes)
    return f"### {markdown_escape(table.title)}\n\n{markdown_escape(table.caption)}\n\n{grid}\n{notes}"


def to_terminal(table: Table) -> str:
    """Aligned text with caption and footnotes; a star precedes a bold number, because a terminal may not show bold."""
    grid = _grid(table, "simple", lambda cell: "*" * cell.best + cell.text)
    notes = [fill(note, WIDTH, subsequent_indent="  ") for note in table.notes]
    return "\n".join([table.title, "", fill(table.caption, WIDTH), "", grid, "", *notes, ""])


def _best(text: str, cell: Cell) -> str:
    return f"**{text}**" if cell.best else text


def _grid(table: Table, style: str, show: Callable[[Cell], str]) -> str:
    rows = [[show(cell) for cell in row] for block in table.blocks() for row in block]
    header = [show(Cell(text)) for text in table.header]
    align = ["left"] * table.labels + ["right"] * (len(table.header) - table.labels)
    return tabulate(rows, headers=header, tablefmt=style, colalign=align if rows else None, disable_numparse=True)


def to_latex(table: Table) -> str:
    """A `table` environment with caption and footnotes and a `\\midrule` between blocks.

    It needs only `\\usepackage{booktabs}`.
    """
    columns = "l" * table.labels + "r" * (len(table.header) - table.labels)
    blocks = [[_latex_line([_latex_cell(cell) for cell in row]) for row in block] for block in table.blocks()]
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}[t]",
        r"\centering",
        *([r"\footnotesize", r"\setlength{\tabcolsep}{3pt}"] if len(table.header) > MOST_LATEX_COLUMNS else []),
        rf"\caption{{{latex_escape(f'{table.title}. {table.caption}')}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _latex_line([latex_escape(text) for text in table.header]),
        *[line for block in blocks for line in (r"\midrule", *block)],
        r"\bottomrule",
        r"\end{tabular}",
        *[rf"\par\footnotesize {latex_escape(note)}" for note in table.notes],
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def latex_escape(text: str) -> str:
    """Escapes text so that LaTeX prints it literally."""
    return "".join(ESCAPES.get(character, character) for character in text).replace("  ", " ")


def _latex_cell(cell: Cell) -> str:
    text = latex_escape(cell.text)
    return f"\\textbf{{{text}}}" if cell.best else text


def _latex_line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"
