"""The class descriptions of a run, read from the file that planning named."""

from collections.abc import Sequence
from pathlib import Path

from cocoop.config import prompts
from cocoop.config.prompts import Descriptions
from cocoop.errors import UserError


def of(expected: str | None, path: Path | None, classnames: Sequence[str]) -> Descriptions | None:
    """The sentences about each class; None if the run or evaluation uses no descriptions.

    expected: the digest that the run or evaluation stores.
    Raises a UserError for a file with another digest, and for classes without sentences.
    """
    if expected is None:
        return None
    if path is None:
        raise UserError("this run needs class descriptions; add --descriptions FILE.")
    content = prompts.descriptions(path)
    if prompts.digest(content) != expected:
        raise UserError(f"{path}: has digest {prompts.digest(content)}, but this run uses {expected}; plan again.")
    return prompts.of_classes(content, classnames, str(path))
