"""A table as CSV, Markdown, LaTeX and text for the terminal."""

from collections.abc import Callable
from pathlib import Path
from textwrap import fill

from tabulate import tabulate

from cocoop import io
from cocoop.reporting.records.records import read_text
from cocoop.reporting.records.text import markdown_escape
from cocoop.reporting.tables.latex import to_latex
from cocoop.reporting.tables.model import Cell, Table

NOTE_WIDTH = 110


def write(table: Table, folder: Path) -> None:
    """Writes NAME.csv (tidy), NAME_wide.csv (both fractions), NAME.md, NAME.tex and NAME.txt (per cent)."""
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
    """Aligned text; the best number has a star before it, because a terminal may have no bold."""
    grid = _grid(table, "simple", lambda cell: "*" * cell.best + cell.text)
    stars = ["* best of those compared"] if any(cell.best for row in table.rows for cell in row) else []
    notes = [fill(note, NOTE_WIDTH, subsequent_indent="  ") for note in (*stars, *table.notes)]
    return "\n".join([table.title, "", grid, "", *notes, ""])


def text_of(table: Table | Path | str) -> str:
    """The text form of a table, or of one already written, given any of its files."""
    if isinstance(table, Table):
        return to_terminal(table)
    path = Path(table)
    return read_text(path.with_name(path.stem.removesuffix("_wide") + ".txt"), "table")


def _best(text: str, cell: Cell) -> str:
    return f"**{text}**" if cell.best else text


def _grid(table: Table, style: str, show: Callable[[Cell], str]) -> str:
    rows = [[show(cell) for cell in row] for block in table.blocks() for row in block]
    header = [show(Cell(text)) for text in table.header]
    align = ["left"] * table.labels + ["right"] * (len(table.header) - table.labels)
    return tabulate(rows, headers=header, tablefmt=style, colalign=align if rows else None, disable_numparse=True)
