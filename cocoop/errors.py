"""The errors that users see as a single line without a traceback, with exit code 2."""

from collections.abc import Iterable
from difflib import get_close_matches

EXIT_CODE = 2
INTERRUPTED = 130  # a shell's exit code for SIGINT
INTERRUPTION = "interrupted: finished work is kept; run the same command again to continue."
MEANT = {"gpu": "cuda"}  # usual words for a choice that has another name
LONGEST_IN_LIST = 160  # characters of one name in a list; long enough for most paths


class UserError(Exception):
    """A mistake that the user can correct. In one line, the message gives the value, its place, the choices and the fix."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))  # a file or class name may contain a line feed


class CannotWrite(UserError):
    """A file cannot be written, so trying another source for it is pointless."""


def shown(value: object, most: int = 60) -> str:
    """The repr of a value, shortened if it is long: `'abc'... (1234 characters)`."""
    text = value if isinstance(value, str) else repr(value)
    if len(text) > most:
        return f"{text[:most]!r}... ({len(text)} characters)"
    return repr(value)


def listed(names: Iterable[object], most: int = 12) -> str:
    """At most `most` names joined by commas, and the number of others: `a, b, c (+7 more)`; `none` if there are none."""
    texts = [str(name) for name in names]
    more = f" (+{len(texts) - most} more)" if len(texts) > most else ""
    return ", ".join(map(_cut, texts[:most])) + more if texts else "none"


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST_IN_LIST else f"{name[:LONGEST_IN_LIST]}... ({len(name)} characters)"


def cut(name: object, most: int = 60) -> str:
    """A class name or prompt, shortened to `most` characters for a message."""
    text = str(name)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def counted(number: int, one: str, many: str) -> str:
    """`1 class has` or `2 classes have`."""
    return f"{number} {one if number == 1 else many}"


def did_you_mean(value: object, choices: Iterable[str]) -> str:
    """` Did you mean 'coop'?` for the closest choice; empty if no choice is close."""
    choices = {str(choice).lower(): str(choice) for choice in choices}
    word = str(value).lower()
    near = [MEANT[word]] if MEANT.get(word) in choices else get_close_matches(word, choices, n=1, cutoff=0.6)
    return f" Did you mean {shown(choices[near[0]])}?" if near else ""


def unknown(kind: str, value: object, choices: Iterable[str], where: str) -> UserError:
    """The error for an unknown name, for example with kind="variant" and where="config/config.yaml: variants"."""
    choices = sorted(map(str, choices))
    return UserError(
        f"{where}: unknown {kind} {shown(value)}; known: {listed(choices, 40)}.{did_you_mean(value, choices)}"
    )
