"""Hand-crafted prompts: which of a dataset's prompts a variant starts from, files of templates, and class descriptions."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from cocoop import io, places
from cocoop.errors import UserError, counted, cut, listed, shown

TEMPLATE, ENSEMBLE, DESCRIPTIONS = "template", "ensemble", "descriptions"
PromptsFrom = str | tuple[str, ...]
"""TEMPLATE, ENSEMBLE or DESCRIPTIONS of the dataset at hand, or templates of the variant itself: a list or the path of a file."""
Descriptions = Mapping[str, tuple[str, ...]]
"""Sentences by class name."""
DEFAULT = "default"  # in a mapping by dataset: for all others
GENERAL = "config/templates/imagenet_7.txt"


def templates(listed_or_file: str | Sequence[str], where: str) -> tuple[str, ...]:
    """The templates of a list, or of a text file with one per line; a line that starts with # is a comment.

    A file is looked up in the working folder and then in the repository. Raises a UserError that starts with `where` for a file
    that cannot be read or is empty, and for a line without exactly one {}.
    """
    if not isinstance(listed_or_file, str):
        return tuple(listed_or_file)
    path = found(listed_or_file)
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{where}: cannot read {path} ({error}).") from error
    for number, line in enumerate(lines, 1):
        if is_template(line) and (line.count("{}") != 1 or line.count("{") != 1 or line.count("}") != 1):
            raise UserError(
                f"{where}: {path}, line {number}: {line!r} needs exactly one {{}}, where the class name goes."
            )
    if not any(map(is_template, lines)):
        raise UserError(f"{where}: {path} is empty; write one template per line, such as 'a photo of a {{}}.'")
    return tuple(filter(is_template, lines))


def is_template(line: str) -> bool:
    """Whether a line of a file of templates is one, not blank and not a comment."""
    return bool(line) and not line.startswith("#")


def general(template: str) -> tuple[str, ...]:
    """The ensemble of a dataset that names none: 7 templates for ImageNet and its own (CoOp trainers/zsclip.py:64-99)."""
    return (*templates(GENERAL, "ensemble"), template)


def found(name: str) -> Path:
    """The path of a file that a YAML file names (`places.found`); the name itself if there is none."""
    return places.found(name) or Path(name)


def descriptions(path: Path) -> Descriptions:
    """Reads {class name: [sentences]} from a JSON or YAML file.

    Raises a UserError for a file that cannot be read, a name given twice, and an entry that is not a list of sentences.
    """
    try:
        return _descriptions(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from error


@cache
def _descriptions(path: Path, _: int) -> Descriptions:
    content = _json(path) if path.suffix == ".json" else io.read_yaml(path)
    for name, sentences in content.items():
        if not isinstance(name, str) or not isinstance(sentences, list) or not sentences:
            raise UserError(
                f"{path}: {cut(name)}: expected a list of sentences, got {shown(sentences)}; write [..., ...]."
            )
        for number, text in enumerate(sentences, 1):
            if not isinstance(text, str) or not text.strip():
                raise UserError(
                    f"{path}: {cut(name)}: sentence {number} is {shown(text)}; write a sentence, or remove it."
                )
    return {name: tuple(sentences) for name, sentences in content.items()}


def _json(path: Path) -> dict[str, Any]:
    """PyYAML reads JSON too, but takes a minute for the tens of thousands of sentences about ImageNet."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            names = [name for name, _ in pairs]
            raise UserError(f"{path}: {cut(next(name for name in names if names.count(name) > 1))}: appears twice.")
        return content

    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:  # also if it is not UTF-8
        raise UserError(f"{path}: not valid JSON ({error}).") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected {{class name: [sentences]}}, got {type(content).__name__}.")
    return content


def digest(content: Descriptions) -> str:
    """The digest of descriptions that a run stores."""
    return io.identity({name: list(sentences) for name, sentences in content.items()})


def of_classes(content: Descriptions, classnames: Iterable[str], where: str) -> Descriptions:
    """The sentences by the class names of a dataset; names in the file may have spaces for underscores, and any case.

    Raises a UserError that starts with `where` and names the classes without sentences.
    """
    keys = {_plain(key): key for key in content} | {key: key for key in content}
    chosen = {name: keys.get(name, keys.get(_plain(name))) for name in classnames}
    if missing := [name for name, key in chosen.items() if key is None]:
        number = counted(len(missing), "class has", "classes have")
        raise UserError(
            f"{where}: {number} no sentences: {listed(map(cut, missing), 5)}; add them under the dataset's class names."
        )
    return {name: content[key] for name, key in chosen.items() if key is not None}


def _plain(name: str) -> str:
    return name.replace("_", " ").casefold()
