"""What class names are worth to a text tower: codes, names that make the same prompt, prompts that are too long."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence

from cocoop.data.readers.base import NUMBER
from cocoop.data.readers.imagenet_names import ImageNetNames
from cocoop.errors import counted, cut, listed, shown

Tokenize = Callable[[str], Sequence[int]]  # gives the token ids of a text, start and end included
SYNSET = re.compile(r"n[0-9]{8}")
CODE = re.compile(r"(class|category|label|cls|cat|id|[a-z])[ _-]?[0-9]+", re.IGNORECASE)
MOST_TOKENS = 77  # of a prompt of CLIP
LONGEST = 2000  # characters given to the tokenizer, which is slow on long words: far more than MOST_TOKENS


def spoken(name: str) -> str:
    """A class name as it stands in a prompt (cocoop.text.prompts.spoken, which this room may not import)."""
    return name.replace("_", " ")


def is_code(name: str) -> bool:
    """Whether a class name is a number or a synset, whatever the other names are."""
    return bool(NUMBER.fullmatch(name.strip()) or SYNSET.fullmatch(name.strip()))


def codes(names: Sequence[str]) -> list[str]:
    """The names that are codes. A letter and a number (c17, A320) may be a word, unless all names are of such kinds."""
    if all(is_code(name) or CODE.fullmatch(name.strip()) for name in names):
        return list(names)
    return [name for name in names if is_code(name)]


def of_synsets(names: Sequence[str]) -> list[str] | None:
    """ImageNet's class names for folders that are all named by its synsets; None where one is not."""
    if not names or not all(SYNSET.fullmatch(name) for name in names):
        return None
    known = ImageNetNames.find([])
    titles = dict(zip(known.synsets, known.names, strict=True))
    return [titles[name] for name in names] if all(name in titles for name in names) else None


def notes(names: Sequence[str], tokenize: Tokenize | None) -> list[str]:
    """What a user should know of the class names."""
    found = []
    if empty := sum(not spoken(name).strip() for name in names):
        found.append(
            f"{counted(empty, 'class has', 'classes have')} an empty name, which text says nothing of; write `names:`"
        )
    if coded := codes(names):
        shown = listed((repr(cut(name)) for name in coded), 3)
        found.append(
            f"class names are codes, not words ({shown}): CLIP's text tower knows nothing of them; write `names:`"
            " in the dataset's YAML"
            + (" (`dataset new` finds those of ImageNet's synsets)" if SYNSET.fullmatch(coded[0]) else "")
        )
    if groups := _alike(names, tokenize):
        shown = "; ".join(", ".join(repr(cut(name)) for name in group[:5]) for group in groups[:5])
        shown += f"; and {len(groups) - 5} more such groups" if len(groups) > 5 else ""
        found.append(f"classes that share a prompt cannot be told apart by text: {shown}")
    return found


def _alike(names: Sequence[str], tokenize: Tokenize | None) -> list[list[str]]:
    """Groups of names with the same tokens as they are spoken; a full stop at the end changes one token of the prompt only."""
    groups: dict[tuple, list[str]] = defaultdict(list)
    for name in names:
        plain = " ".join(spoken(name).lower().split()).rstrip(" .,;:!?")[:LONGEST]
        groups[tuple(tokenize(plain)) if tokenize else (plain,)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def too_long(template: str, names: Sequence[str], tokenize: Tokenize) -> str | None:
    """What is wrong with prompts that CLIP's text tower cannot take."""
    lengths = {name: len(tokenize(template.format(spoken(name))[:LONGEST])) for name in names}
    bad = [f"{shown(name)} ({length})" for name, length in lengths.items() if length > MOST_TOKENS]
    if not bad:
        return None
    return (
        f"{counted(len(bad), 'prompt has', 'prompts have')} more than {MOST_TOKENS} tokens, the most that CLIP's text tower takes:"
        f" {listed(bad, 3)}; write shorter `names:` or a shorter `template:` in the dataset's YAML"
    )
