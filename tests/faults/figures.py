"""The fault suite's figures: what was tried and how it ended, as the table of docs/reliability.md."""

from collections import Counter
from pathlib import Path

from cocoop import io

PAGE = io.REPOSITORY / "docs" / "reliability.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEAD = "| fault | tried | crashed | silently accepted | what happened |\n| --- | ---: | ---: | ---: | --- |\n"


class Figures:
    """Counts by topic. `crashed`: a traceback instead of a message; `accepted`: another result without a word."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}

    def add(self, topic: str, outcome: str, number: int = 1) -> None:
        self.counts.setdefault(topic, Counter())[outcome] += number

    def of(self, topic: str) -> Counter[str]:
        return self.counts.get(topic, Counter())

    def table(self) -> str:
        rows = []
        for topic, counts in sorted(self.counts.items()):
            rest = ", ".join(f"{n:,} {what}" for what, n in sorted(counts.items()) if what not in ("crashed", "accepted"))
            rows.append(f"| {topic} | {sum(counts.values()):,} | {counts['crashed']:,} | {counts['accepted']:,} | {rest} |")
        return HEAD + "\n".join(rows) + "\n"


def write(table: str, page: Path = PAGE) -> None:
    """Puts the table between the page's marks."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    io.write_text(page, f"{before}{BEGIN}\n{table}{END}{rest.split(END)[1]}")
