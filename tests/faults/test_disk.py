"""A full disk, a read-only results folder, a data root on another file system: a line that says so, nothing corrupt, and on."""

import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults import processes
from tests.faults.world import STAGES, contents

PAGE = 4096


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


@pytest.mark.parametrize("pages", [0, 2])
@pytest.mark.parametrize("stage", STAGES)
def test_full_disk(stage, pages, world, made, tmp_path, figures):
    """Hardly anything is free; after room is made the same command ends with the same bytes."""
    undisturbed = tmp_path / "undisturbed"
    assert processes.run(world.arguments(stage, undisturbed, made), tmp_path / "log").code == 0
    whole = contents(undisturbed)
    with mounted(tmp_path / "small", 65536) as disk:
        filler = disk / ".filler"
        with filler.open("wb") as file:
            fill(file, pages)
        ended = processes.run(world.arguments(stage, disk / "out", made), tmp_path / "log")
        found = contents(disk / "out") if (disk / "out").exists() else {}
        assert found == {name: whole.get(name) for name in found}
        assert "Traceback" not in ended.text
        if ended.code:
            line = ended.text.strip().splitlines()[-1]
            assert ended.code == 2
            assert line.startswith("error: ") and str(disk) in line and "No space left" in line
            assert "bytes, 0 are free" in line or pages or stage == "download", line
            figures.add("full disk", "one line that names the file, then the same bytes")
        else:
            assert pages, "a stage that writes nothing"
            figures.add("full disk", "fitted all the same")
        filler.unlink()
        ended = processes.run(world.arguments(stage, disk / "out", made), tmp_path / "log")
        assert ended.code == 0, ended.text
        assert contents(disk / "out") == whole


def fill(file, pages: int) -> None:
    """Writes until the disk is full, but for some pages."""
    try:
        while True:
            file.write(b"\0" * 65536)
            file.flush()
    except OSError:
        pass
    end = file.seek(0, 2)
    file.truncate(end - pages * PAGE)


@pytest.mark.parametrize("stage", STAGES)
def test_read_only_folder(stage, world, made, tmp_path, figures):
    with mounted(tmp_path / "fixed", 1024) as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        ended = processes.run(world.arguments(stage, disk / "out", made), tmp_path / "log")
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
