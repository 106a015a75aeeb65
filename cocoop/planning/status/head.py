"""Reads Snakemake's files to find out how the process that submits jobs was started and whether it holds a lock."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cocoop import io, places

COMMAND = "  Command: "
HEADER_LINES = 20


def locked(folder: Path) -> bool:
    """Whether Snakemake has locked the working folder. The lock remains if Snakemake was killed."""
    return any((folder / ".snakemake" / "locks").glob("*.lock"))


def logs(folder: Path) -> list[Path]:
    """Snakemake's logs, the latest first; their names begin with the start time."""
    return sorted((folder / ".snakemake" / "log").glob("*.snakemake.log"), reverse=True)


def profile(folder: Path) -> str | None:
    """The --profile of the latest Snakemake that was started without target files; None if it had no profile."""
    commands = (command for log in logs(folder) if (command := _command(log)) and "--" not in command)
    return next((_option(command, "--profile") for command in commands), None)


def settings(name: str | None) -> Mapping[str, Any]:
    """The content of a profile in the working folder or a shipped one; empty for any other profile or None."""
    found = places.layers(f"{name}/profile.yaml") if name else []
    return io.read_yaml(found[0]) if found else {}


def _command(log: Path) -> list[str]:
    """The words of the command line, which Snakemake logs without quotes."""
    try:
        with log.open(encoding="utf-8", errors="replace") as file:
            header = [line for _, line in zip(range(HEADER_LINES), file, strict=False)]
    except OSError:
        return []
    return next((line.removeprefix(COMMAND).split() for line in header if line.startswith(COMMAND)), [])


def _option(words: list[str], name: str) -> str | None:
    values: Iterator[str] = (
        word.removeprefix(f"{name}=") if word.startswith(f"{name}=") else following
        for word, following in zip(words, [*words[1:], ""], strict=True)
        if word == name or word.startswith(f"{name}=")
    )
    return next(values, None)
