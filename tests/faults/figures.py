"""The fault suite's figures: what each test tried and how it ended, kept by test, summed into docs/reliability.md."""

import json
import subprocess
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from filelock import FileLock

from cocoop import io

PAGE = io.REPOSITORY / "docs" / "reliability.md"
RECORD = "reliability.json"  # beside the page: what its table is the sum of
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
BAD = ("crashed", "accepted")
HEAD = "| fault | tried | crashed | silently accepted | what happened |\n| --- | ---: | ---: | ---: | --- |\n"

Counts = dict[str, Counter[str]]  # outcomes by topic
Entries = dict[str, dict[str, Any]]  # by test: {"run": commit and date, "counts": ...}, or {"run": ..., "failed": true}


class Figures:
    """Counts by topic. `crashed`: a traceback instead of a message; `accepted`: another result without a word."""

    def __init__(self) -> None:
        self.counts: Counts = {}

    def add(self, topic: str, outcome: str, number: int = 1) -> None:
        """Only what has been asserted may be added; what a failed test added is thrown away."""
        self.counts.setdefault(topic, Counter())[outcome] += number


def total(all_counts: Collection[Mapping[str, Mapping[str, int]]]) -> Counts:
    """The sums by topic."""
    sums: Counts = {}
    for counts in all_counts:
        for topic, outcomes in counts.items():
            sums.setdefault(topic, Counter()).update(outcomes)
    return sums


def table(counts: Counts) -> str:
    """The whole table in Markdown."""
    return HEAD + "".join(f"{_row(topic, counts[topic])}\n" for topic in sorted(counts))


def _row(topic: str, counts: Counter[str]) -> str:
    rest = [f"{n:,} {what}" if counts.total() > 1 else what for what, n in sorted(counts.items()) if what not in BAD]
    return f"| {topic} | {counts.total():,} | {counts['crashed']:,} | {counts['accepted']:,} | {', '.join(rest)} |"


def merged(old: Entries, new: Entries, collected: Collection[str], scope: Collection[str]) -> Entries:
    """A run's entries over earlier ones, without tests that are gone: not collected below `scope`, folders and files."""

    def gone(test: str) -> bool:
        path = io.REPOSITORY / test.split("::")[0]
        return not path.exists() or (test not in collected and any(path.is_relative_to(place) for place in scope))

    return dict(sorted({**{test: entry for test, entry in old.items() if not gone(test)}, **new}.items()))


def text(entries: Entries) -> str:
    """What stands between the marks of the page: which runs, which tests failed, the table."""
    runs = Counter(entry["run"] for entry in entries.values())
    failed = [f"`{test}`" for test, entry in entries.items() if entry.get("failed")]
    of = "; ".join(f"{run} (tests: {count})" for run, count in sorted(runs.items()))
    bad = [f"**Failed**, and not counted: {', '.join(failed)}."] if failed else []
    return "\n".join(
        [
            f"Made by `make faults` at commit {of}.",
            *bad,
            "",
            table(total([entry.get("counts", {}) for entry in entries.values()])),
        ]
    )


def write(new: Entries, collected: Collection[str], scope: Collection[str], page: Path = PAGE) -> None:
    """Puts a run's figures into the page; those of tests that did not run stay, with the run they come from."""
    record = page.with_name(RECORD)
    lock = io.REPOSITORY / ".pytest_cache" / "figures.lock"
    lock.parent.mkdir(exist_ok=True)
    with FileLock(lock):  # halves may run side by side
        old = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
        entries = merged(old, new, collected, scope)
        lines = [f" {json.dumps(test)}: {json.dumps(entry, sort_keys=True)}" for test, entry in entries.items()]
        before, rest = page.read_text(encoding="utf-8").split(BEGIN)
        io.write_text(record, "{\n" + ",\n".join(lines) + "\n}\n")
        io.write_text(page, f"{before}{BEGIN}\n{text(entries)}{END}{rest.split(END)[1]}")


def this_run() -> str:
    """Commit and date, and whether files differ from the commit (those that this module writes aside)."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(io.REPOSITORY), *arguments], capture_output=True, text=True)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/reliability.*")
    return f"{git('rev-parse', '--short', 'HEAD') or 'unknown'}{' with changes' * bool(changed)}, {date.today()}"
