"""A file of hand-crafted prompts."""

from pathlib import Path

from cocoop.errors import UserError


def lines(path: Path, dataset: str) -> tuple[str, ...]:
    """The templates in a text file, one per line; a UserError names a line without exactly one {}."""
    where = f"config/datasets/{dataset}.yaml: templates"
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{where}: cannot read {path} ({error}).") from error
    for number, line in enumerate(lines, 1):
        if line.count("{}") != 1 or line.count("{") != 1 or line.count("}") != 1:
            raise UserError(
                f"{where}: {path}, line {number}: {line!r} needs exactly one {{}}, where the class name goes."
            )
    if not lines:
        raise UserError(f"{where}: {path} is empty; write one template per line, such as 'a photo of a {{}}.'")
    return tuple(lines)
