"""Checks of class names for the text encoder: codes, names with equal prompts, and prompts that are too long."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence

from cocoop.data.readers.base import NUMBER
from cocoop.data.readers.imagenet_names import ImageNetNames
from cocoop.errors import counted, cut, listed, shown

Tokenize = Callable[[str], Sequence[int]]  # returns the token ids of a text, including start and end
SYNSET = re.compile(r"n[0-9]{8}")
CODE = re.compile(r"(class|category|label|cls|cat|id|[a-z])[ _-]?[0-9]+", re.IGNORECASE)
MOST_TOKENS = 77  # tokens of CLIP's longest prompt
LONGEST = 2000  # maximal characters for the tokenizer, which is slow for long words; this is far more than MOST_TOKENS


def spoken(name: str) -> str:
    """A class name as written in a prompt, like cocoop.text.prompts.spoken, which this package may not import."""
    return name.replace("_", " ")


def is_code(name: str) -> bool:
    """Whether a class name is a number or a synset, regardless of the other names."""
    return bool(NUMBER.fullmatch(name.strip()) or SYNSET.fullmatch(name.strip()))


def codes(names: Sequence[str]) -> list[str]:
    """The names that are codes. Letters with a number (c17, A320) may be words, unless all names are of this kind."""
    if all(is_code(name) or CODE.fullmatch(name.strip()) for name in names):
        return list(names)
    return [name for name in names if is_code(name)]


def of_synsets(names: Sequence[str]) -> list[str] | None:
    """ImageNet's class names for folders named by its synsets; None if a folder is not."""
    if not names or not all(SYNSET.fullmatch(name) for name in names):
        return None
    known = ImageNetNames.find([])
    titles = dict(zip(known.synsets, known.names, strict=True))
    return [titles[name] for name in names] if all(name in titles for name in names) else None


def notes(names: Sequence[str], tokenize: Tokenize | None) -> list[str]:
    """Notes for the user about the class names."""
    found = []
    if empty := sum(not spoken(name).strip() for name in names):
        found.append(
            f"{counted(empty, 'class has', 'classes have')} an empty name, which text says nothing of; write `names:`"
        )
    if coded := codes(names):
        shown = listed((repr(cut(name)) for name in coded), 3)
        found.append(
            f"class names are codes, not words ({shown}), which mean nothing to CLIP's text encoder; write `names:`"
            " in the dataset's YAML"
            + (" (`dataset new` finds those of ImageNet's synsets)" if SYNSET.fullmatch(coded[0]) else "")
        )
    if groups := _alike(names, tokenize):
        shown = "; ".join(", ".join(repr(cut(name)) for name in group[:5]) for group in groups[:5])
        shown += f"; and {len(groups) - 5} more such groups" if len(groups) > 5 else ""
        found.append(f"classes that share a prompt cannot be told apart by text: {shown}")
    return found


def _alike(names: Sequence[str], tokenize: Tokenize | None) -> list[list[str]]:
    """Groups of names with the same tokens in a prompt, ignoring a full stop at the end, which changes only one token."""
    groups: dict[tuple, list[str]] = defaultdict(list)
    for name in names:
        plain = " ".join(spoken(name).lower().split()).rstrip(" .,;:!?")[:LONGEST]
        groups[tuple(tokenize(plain)) if tokenize else (plain,)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def too_long(template: str, names: Sequence[str], tokenize: Tokenize) -> str | None:
    """The problem with prompts that are too long for CLIP's text encoder; None if there are none."""
    lengths = {name: len(tokenize(template.format(spoken(name))[:LONGEST])) for name in names}
    bad = [f"{shown(name)} ({length})" for name, length in lengths.items() if length > MOST_TOKENS]
    if not bad:
        return None
    return (
        f"{counted(len(bad), 'prompt has', 'prompts have')} more than {MOST_TOKENS} tokens, the limit of CLIP's text encoder:"
        f" {listed(bad, 3)}; write shorter `names:` or a shorter `template:` in the dataset's YAML"
    )
