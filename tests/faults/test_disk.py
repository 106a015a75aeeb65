"""A full disk, a read-only results folder, a data root on another file system: a line that says so, nothing corrupt, and on."""

import re
import shutil
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.faults import processes
from tests.faults.world import LATER, LISTS, STAGES, contents

PAGE = 4096
STEPS, STEPS_IN_CI = 12, 3
KEPT = {"features": "*.parts/*.safetensors", "views": "*.parts/*.safetensors", "train": "run/checkpoint.safetensors"}
EVERY = (*STAGES, *LATER)


@contextmanager
def mounted(folder: Path, kilobytes: int):
    """A tmpfs of this size at `folder`."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"cannot mount a small disk here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def finished(world, made, tmp_path_factory) -> Path:
    """`made` with a results folder for the report."""
    folder = tmp_path_factory.mktemp("finished") / "made"
    shutil.copytree(made, folder)
    for name in LISTS:
        (folder / name).write_text((made / name).read_text().replace(str(made), str(folder)))
    for stage in ("paired", "figures"):
        ended = processes.run(world.arguments(stage, folder / "results/experiments/flags", folder), folder / "log")
        assert ended.code == 0, ended.text
    for path in folder.glob("records.csv*"):
        shutil.copy(path, folder / "results/experiments/flags")
    return folder


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, tuple[dict[str, str], int]]:
    """What each stage writes undisturbed, and how many pages that takes; filled by `Small`."""
    return {}


class Small:
    """A stage on a small disk that is full."""

    def __init__(self, world, stage: str, made: Path, disk: Path, undisturbed: dict) -> None:
        self.arguments, self.disk, self.folder = world.arguments(stage, disk / "out", made), disk, world.folder
        if stage not in undisturbed:
            ended = self.run()
            assert ended.code == 0, ended.text
            undisturbed[stage] = contents(disk / "out"), shutil.disk_usage(disk).used // PAGE
            shutil.rmtree(disk / "out")
        self.whole, self.pages = undisturbed[stage]
        assert self.whole
        self.filler = (disk / ".filler").open("wb", buffering=0)
        fill(self.filler)

    def run(self) -> processes.Ended:
        return processes.run(self.arguments, self.disk.with_suffix(".log"), folder=self.folder)

    def free(self, pages: int) -> None:
        self.filler.truncate(max(0, self.filler.seek(0, 2) - pages * PAGE))

    def fails(self) -> bool:
        """Whether there was too little room: then one line says so, and what is there under its name is whole."""
        ended = self.run()
        found = contents(self.disk / "out") if (self.disk / "out").exists() else {}
        assert found == {name: self.whole.get(name) for name in found}
        assert "Traceback" not in ended.text
        if not ended.code:
            return False
        line = ended.text.strip().splitlines()[-1]
        assert ended.code == 2
        assert line.startswith("error: ") and str(self.disk) in line and "No space left" in line, line
        assert re.search(r"[\d,]+ bytes are needed, [\d,]+ bytes are free: make room and run again", line), line
        return True

    def ends_well(self) -> None:
        """With all the room there is, the same command gives the same bytes."""
        self.filler.truncate(0)
        ended = self.run()
        assert ended.code == 0, ended.text
        assert contents(self.disk / "out") == self.whole


@pytest.mark.parametrize("pages", [0, 2])
@pytest.mark.parametrize("stage", EVERY)
def test_full_disk(stage, pages, world, finished, undisturbed, tmp_path, figures):
    """Hardly anything is free; after room is made the same command ends with the same bytes."""
    with mounted(tmp_path / "small", 65536) as disk:
        small = Small(world, stage, finished, disk, undisturbed)
        small.free(pages)
        failed = small.fails()
        assert failed or pages, "a stage that writes nothing"
        small.ends_well()
    figures.add(
        "full disk",
        "one line that names file and needed bytes, then the same bytes" if failed else "fitted all the same",
    )


@pytest.mark.parametrize("stage", EVERY)
def test_a_disk_that_fills_on_the_way(stage, world, finished, undisturbed, tmp_path, full, figures):
    """Room for a share of the work, then for a little more, and so on: parts and checkpoints of before are gone on from."""
    failures, kept = 0, False
    with mounted(tmp_path / "small", 65536) as disk:
        small = Small(world, stage, finished, disk, undisturbed)
        step = max(1, small.pages // (STEPS if full else STEPS_IN_CI))
        small.free(step)
        while small.fails():
            failures += 1
            kept |= stage in KEPT and bool(list((disk / "out").glob(KEPT[stage])))
            assert failures < 100
            small.free(step)
        assert contents(disk / "out") == small.whole
        small.ends_well()
    assert kept or stage not in KEPT, "the disk never filled between two parts"
    figures.add("disk that fills on the way", "one line each time, then the same bytes", max(1, failures))


def fill(file) -> None:
    """Writes until the disk is full to the last page."""
    with suppress(OSError):
        while True:
            file.write(b"\0" * 65536)


@pytest.mark.parametrize("stage", EVERY)
def test_read_only_folder(stage, world, finished, tmp_path, figures):
    with mounted(tmp_path / "fixed", 1024) as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        ended = processes.run(world.arguments(stage, disk / "out", finished), tmp_path / "log", folder=world.folder)
        assert ended.code == 2, ended.text
        line = ended.text.strip().splitlines()[-1]
        assert line.startswith("error: ") and str(disk) in line and "Read-only" in line, ended.text
        assert "Traceback" not in ended.text
        figures.add("read-only folder", "one line that names it")


def test_data_root_on_another_file_system(world, made, tmp_path, figures):
    """Renames across file systems fail: every temporary file must lie beside its place."""
    with mounted(tmp_path / "data", 65536) as disk:
        ended = processes.run(world.arguments("download", disk), tmp_path / "log")
        assert ended.code == 0, ended.text
        assert contents(disk / "data/flags") == contents(made / "data/flags")
        shutil.copy(made / "manifest.json", disk)
        arguments = world.arguments("features", tmp_path / "results", made)
        arguments[arguments.index("--root") + 1] = str(disk / "data/flags")
        assert processes.run(arguments, tmp_path / "log").code == 0
        found = contents(tmp_path / "results")["features.safetensors"]
        assert found == contents(made)["features.safetensors"]
        figures.add("data root on another file system", "same bytes")
