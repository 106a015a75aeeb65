r"""A table as LaTeX with the rules of booktabs; needs `\usepackage{booktabs}` and nothing else."""

from cocoop.reporting.tables.model import Cell, Table

ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "|": r"$|$",
    "±": r" $\pm$ ", "−": "$-$", "—": "---", "†": r"$^\dagger$", "✓": r"$\surd$", "✗": r"$\times$", "·": r"$\cdot$",
}  # fmt: skip
MOST_COLUMNS = 8


def to_latex(table: Table) -> str:
    """A `table` environment with caption and footnotes; blocks are parted by a `\\midrule`."""
    columns = "l" * table.labels + "r" * (len(table.header) - table.labels)
    blocks = [[_line([_cell(cell) for cell in row]) for row in block] for block in table.blocks()]
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}[t]",
        r"\centering",
        *([r"\footnotesize", r"\setlength{\tabcolsep}{3pt}"] if len(table.header) > MOST_COLUMNS else []),
        rf"\caption{{{latex_escape(f'{table.title}. {table.caption}')}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _line([latex_escape(text) for text in table.header]),
        *[line for block in blocks for line in (r"\midrule", *block)],
        r"\bottomrule",
        r"\end{tabular}",
        *[rf"\par\footnotesize {latex_escape(note)}" for note in table.notes],
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def latex_escape(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(ESCAPES.get(character, character) for character in text).replace("  ", " ")


def _cell(cell: Cell) -> str:
    text = latex_escape(cell.text)
    return f"\\textbf{{{text}}}" if cell.best else text


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"
