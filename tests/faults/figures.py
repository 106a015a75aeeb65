"""The fault suite's figures: what was tried and how it ended, as the table of docs/reliability.md."""

from collections import Counter
from pathlib import Path

from cocoop import io

PAGE = io.REPOSITORY / "docs" / "reliability.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
BAD = ("crashed", "accepted")
HEAD = "| fault | tried | crashed | silently accepted | what happened |\n| --- | ---: | ---: | ---: | --- |\n"


class Figures:
    """Counts by topic. `crashed`: a traceback instead of a message; `accepted`: another result without a word."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}

    def add(self, topic: str, outcome: str, number: int = 1) -> None:
        self.counts.setdefault(topic, Counter())[outcome] += number

    def of(self, topic: str) -> Counter[str]:
        return self.counts.get(topic, Counter())

    def rows(self) -> dict[str, str]:
        """The table's line of each topic."""
        return {topic: _row(topic, counts) for topic, counts in self.counts.items()}


def _row(topic: str, counts: Counter[str]) -> str:
    rest = [f"{n:,} {what}" if counts.total() > 1 else what for what, n in sorted(counts.items()) if what not in BAD]
    return f"| {topic} | {counts.total():,} | {counts['crashed']:,} | {counts['accepted']:,} | {', '.join(rest)} |"


def table(rows: dict[str, str]) -> str:
    """The whole table in Markdown."""
    return HEAD + "".join(f"{row}\n" for _, row in sorted(rows.items()))


def write(rows: dict[str, str], page: Path = PAGE) -> None:
    """Puts the lines of a whole run into the page, in place of all that were there."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    io.write_text(page, f"{before}{BEGIN}\n{table(rows)}{END}{rest.split(END)[1]}")
