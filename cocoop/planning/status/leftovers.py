"""Results that a configuration does not ask for: made with other settings, so under other identities."""

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from cocoop.errors import UserError
from cocoop.planning import Plan, stages
from cocoop.planning.job import Job
from cocoop.planning.jobs import jobs_of
from cocoop.planning.status import head

STAGES = (
    stages.TRAIN,
    stages.EVALUATE,
    stages.FEATURES,
    stages.VIEWS,
    stages.MANIFEST,
    stages.FEWSHOT,
    stages.TEXT_TOWER,
)
LOCKED = "another Snakemake is working in this folder, or one was killed; wait for it, or run `snakemake --unlock`."


def note(jobs: Sequence[Job], data_root: str, folder: Path) -> Iterator[str]:
    """One line for `status`, if there are such results."""
    if found := leftovers(jobs, data_root, folder):
        used = in_words(sum(size(path) for path in found))
        yield f"{len(found)} results of other settings use {used}; `python -m cocoop prune -n` lists them."


def prune(plan: Plan, folder: Path, dry: bool) -> None:
    """Deletes the results that a configuration does not ask for and prints what that frees; a dry run only lists them."""
    if not dry and head.locked(folder):
        raise UserError(f"{folder.absolute()}: {LOCKED}")
    found = {path: size(path) for path in leftovers(jobs_of(plan), plan.config["data_root"], folder)}
    if not found:
        print("no results of other settings.")
        return
    for path, used in found.items():
        if not dry:
            _remove(path, folder)
        print(f"{in_words(used):>10}  {path.relative_to(folder)}")
    total = f"{len(found)} results of other settings, {in_words(sum(found.values()))}"
    print(f"{total}; without -n they are deleted." if dry else f"deleted: {total}.")


def leftovers(jobs: Sequence[Job], data_root: str, folder: Path) -> list[Path]:
    """The folders and files below `folder` that hold results of STAGES and nothing that a job of the plan makes, sorted."""
    outputs = [folder / path for job in jobs for path in job.outputs.values()]
    wanted = {folder / data_root, *outputs, *(parent for path in outputs for parent in path.parents)}
    found: list[Path] = []
    for path in sorted({path for pattern in _patterns() for path in folder.glob(pattern)}):
        inside = found and path.is_relative_to(found[-1])
        if path not in wanted and not inside and not _overlaps(path, folder / data_root):
            found.append(path)
    return found


def size(path: Path) -> int:
    """Bytes of a file or of all files of a folder; what is linked counts as nothing."""
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file() and not file.is_symlink())


def in_words(size_in_bytes: int) -> str:
    """1.2 GB, 35.0 MB or 4 kB."""
    for unit, each in (("GB", 1e9), ("MB", 1e6)):
        if size_in_bytes >= each:
            return f"{size_in_bytes / each:.1f} {unit}"
    return f"{size_in_bytes / 1e3:.0f} kB"


def _patterns() -> set[str]:
    """Where results may be: the folder of each job; the file where a folder holds the files of several jobs."""
    outputs = (path for stage in STAGES for path in stage.outputs.values())
    of_jobs = (path if "{" in Path(path).name else f"{path.rpartition('/')[0]}/" for path in outputs)
    return {re.sub(r"({\w+})+", "*", path) for path in of_jobs}


def _overlaps(path: Path, data_root: Path) -> bool:
    """Whether deleting `path` would delete images."""
    path, data_root = path.resolve(), data_root.resolve()
    return path.is_relative_to(data_root) or data_root.is_relative_to(path)


def _remove(path: Path, folder: Path) -> None:
    """Deletes a result, and the folders above it that hold nothing else."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be deleted ({error.strerror}).") from error
    for parent in path.relative_to(folder).parents[:-2]:
        try:
            (folder / parent).rmdir()
        except OSError:  # it still holds something
            break
