"""What tests/test_docs.py reads out of the documentation: code blocks, commands, links, tables."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cocoop.io import REPOSITORY

PAGES = [
    path.relative_to(REPOSITORY)
    for pattern in (
        "*.md",
        "docs/*.md",
        "config/*.md",
        "config/paper/*.md",
        "results/README.md",
        "cocoop/assets/*/*.md",
    )
    for path in sorted(REPOSITORY.glob(pattern))
]
SHELL = ("", "sh", "bash", "shell")
CREATES = re.compile(r"`([\w./-]+\.(?:yaml|py))`[^`\n]*:$")  # the line in front of a block with the content of a file
VARIABLE = re.compile(r"[A-Z_]+=")


class Block(NamedTuple):
    """A code block. file: the path that the text in front of it gives it, or an empty string."""

    language: str
    text: str
    file: str


class Link(NamedTuple):
    """A relative link: its file, empty for the page itself, and its anchor."""

    file: str
    anchor: str


def read(page: Path) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


def blocks(page: Path) -> Iterator[Block]:
    """Fenced blocks, and indented ones, which hold commands."""
    before, lines = "", iter(read(page).splitlines())
    for line in lines:
        if line.startswith("```"):
            body = []
            while (inside := next(lines)) != "```":
                body.append(inside)
            named = CREATES.search(before)
            yield Block(line[3:], "\n".join(body) + "\n", named[1] if named else "")
        elif line.startswith("    "):
            yield Block("", line.strip(), "")
        if line.strip():
            before = line


def prose(page: Path) -> str:
    """The page without fenced blocks."""
    return re.sub(r"^```.*?^```$", "", read(page), flags=re.M | re.S)


def spans(page: Path) -> list[str]:
    """Inline code; one that is wrapped over two lines is joined."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(page))]


def commands(page: Path) -> list[str]:
    """Command lines of shell blocks, without comments, and inline code that begins with a program of ours."""
    found = []
    for block in blocks(page):
        if block.language in SHELL:
            lines = (line.split(" #")[0].strip() for line in block.text.splitlines())
            found += [line for line in lines if line and not line.startswith("#")]
    found += [span for span in spans(page) if span.startswith(("python -m ", "cocoop ", "snakemake ", "make "))]
    return [part for line in found for part in line.split(" && ")]


def words(command: str) -> list[str]:
    """The words of a command without variables in front."""
    found = shlex.split(command)
    while found and VARIABLE.match(found[0]):
        found.pop(0)
    return found


def links(page: Path) -> list[Link]:
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [Link(*target.partition("#")[::2]) for target in targets if "://" not in target]


def anchors(page: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def tables(page: Path) -> Iterator[tuple[str, list[str]]]:
    """The heading above each table whose first column is `key` or `member`, and the code in that column."""
    heading, inside = "", False
    found: list[str] = []
    for line in [*read(page).splitlines(), ""]:
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if line.startswith(("| key |", "| member |")):
            inside, found = True, []
        elif inside and line.startswith("|"):
            found += re.findall(r"`([^`]+)`", line.split("|")[1])
        elif inside:
            yield heading, found
            inside = False
