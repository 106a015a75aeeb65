"""`dataset list`: a line for each known dataset."""

from collections.abc import Iterable
from pathlib import Path

from cocoop.config.specs import DatasetSpec
from cocoop.data.download.place import missing
from cocoop.manifest import SPLITS

COLUMNS = ("name", "title", "classes", *SPLITS, "download", "login", "present", "licence")
UNKNOWN = "?"


def table(specs: Iterable[DatasetSpec], data_root: Path) -> str:
    """A table: classes, images of each split, download size, whether a login is required, files on disk, licence."""
    rows = [COLUMNS, *(_row(spec, Path(data_root)) for spec in specs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(spec: DatasetSpec, data_root: Path) -> tuple[str, ...]:
    licence = spec.settings.get("licence", {})
    sizes = (str(spec.sizes[split]) if spec.sizes[split] is not None else "-" for split in SPLITS)
    classes = str(spec.settings.get("classes", UNKNOWN))
    login = "yes" if licence.get("login") else "no"
    return (
        spec.name,
        spec.title,
        classes,
        *sizes,
        _download(spec),
        login,
        _present(spec, data_root),
        licence.get("terms", "-"),
    )


def _download(spec: DatasetSpec) -> str:
    """The size of a complete download."""
    if "miniature" in spec.settings:
        return "drawn here"
    files = [file for file in spec.settings.get("download", ()) if not file.get("fallback")]
    if not files:
        return "by hand"
    size = sum(file.get("bytes", 0) for file in files)
    unknown = any("bytes" not in file for file in files)
    return (f"{_human(size)}{' + ' if unknown else ''}" if size else "") + (UNKNOWN if unknown else "")


def _human(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _present(spec: DatasetSpec, data_root: Path) -> str:
    folder = data_root / spec.folder
    if not folder.exists():
        return "no"
    return "incomplete" if missing(spec, folder) else "yes"
