"""Sentences about each class of a dataset: a YAML or JSON file of lists by class name."""

from collections.abc import Mapping
from pathlib import Path

from cocoop import io
from cocoop.errors import UserError
from cocoop.run import Run, identity

Descriptions = Mapping[str, tuple[str, ...]]


def load(path: Path) -> Descriptions:
    """Reads sentences by class name. Raises a UserError for the first entry that is not a list of sentences."""
    content = io.read_yaml(path)
    for name, sentences in content.items():
        right = isinstance(sentences, list) and sentences and all(isinstance(text, str) and text for text in sentences)
        if not isinstance(name, str) or not right:
            raise UserError(f"{path}: {name}: expected a list of sentences, got {sentences!r}; write [..., ...].")
    return {name: tuple(sentences) for name, sentences in content.items()}


def digest(found: Descriptions) -> str:
    """The digest that a run stores."""
    return identity({name: list(sentences) for name, sentences in found.items()})


def of(run: Run, expected: str | None, path: Path | None) -> Descriptions | None:
    """The descriptions for a run, checked against the expected digest; None if its method does not use descriptions."""
    if "descriptions" not in run.needs:
        return None
    if path is None:
        raise UserError(f"{run.variant} needs class descriptions; add --descriptions FILE.")
    found = load(path)
    if digest(found) != expected:
        raise UserError(f"{path}: has digest {digest(found)}, but this run uses {expected}; plan again.")
    return found
