"""Several users on one data root: what one has got serves all, and each may add what is not there yet."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from cocoop import io
from tests.faults import processes
from tests.faults.world import World, contents

FIRST, SECOND = 1001, 1002


@pytest.fixture
def root():
    """A data root into which everybody may write, sticky as /tmp is; below a folder that every user may enter."""
    if os.geteuid():
        pytest.skip("only root may become other users")
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        (folder / "data").mkdir()
        (folder / "data").chmod(0o1777)
        yield folder / "data"
    finally:
        shutil.rmtree(folder)


def download(world: World, root: Path, log: Path, user: int, name: str = "flags") -> processes.Ended:
    """The command line of the workflow's rule: the stamp lies in the data root."""
    arguments = world.arguments("download", root)
    at = {option: arguments.index(option) + 1 for option in ("--dataset", "--data-root", "--out")}
    dataset = json.loads(arguments[at["--dataset"]]) | {"name": name}
    arguments[at["--dataset"]] = io.canonical_json(dataset)
    arguments[at["--data-root"]], arguments[at["--out"]] = str(root), str(root / f".sources/{name}.json")
    return processes.run(arguments, log, user=user)


def test_one_after_the_other(world, root, tmp_path, served, figures):
    """The second finds the dataset and its stamp; nothing is fetched again, nothing is changed."""
    assert download(world, root, tmp_path / "log", FIRST).code == 0
    before, stamp = len(served.log), root / ".sources/flags.json"
    written, whole = stamp.stat().st_mtime_ns, contents(root)
    ended = download(world, root, tmp_path / "log", SECOND)
    assert ended.code == 0, ended.text
    assert len(served.log) == before and contents(root) == whole and stamp.stat().st_mtime_ns == written
    assert stamp.stat().st_uid == FIRST and stamp.stat().st_mode & 0o777 == 0o644
    figures.add("several users on one data root", "served all")


def test_each_adds_a_dataset(world, root, tmp_path, figures):
    """The folder of stamps belongs to the first, who lets others write beside it."""
    for user, name in ((FIRST, "flags"), (SECOND, "banners")):
        ended = download(world, root, tmp_path / "log", user, name)
        assert ended.code == 0, ended.text
    assert (root / ".sources/banners.json").stat().st_uid == SECOND
    assert contents(root / "flags") == contents(root / "banners")
    figures.add("several users on one data root", "served all")


def test_the_lock_of_another_user(world, root, tmp_path, figures):
    """A second user waits at the lock of the first, whose file the system does not let him write, and goes on after it."""
    assert download(world, root, tmp_path / "log", FIRST).code == 0
    shutil.rmtree(root / "flags")
    lock = root / ".flags.lock"
    lock.chmod(0o644)
    ended = download(world, root, tmp_path / "log", SECOND)
    assert ended.code == 0, ended.text
    assert lock.stat().st_uid == FIRST and (root / "flags").stat().st_uid == SECOND
    figures.add("several users on one data root", "served all")


def test_both_at_once(world, root, tmp_path, served, full, figures):
    """Whoever comes first fetches; the other waits and ends well."""
    for turn in range(5 if full else 2):
        before, running = len(served.log), []
        for user in (FIRST, SECOND, FIRST, SECOND):
            log = tmp_path / f"{len(running)}.log"
            arguments = world.arguments("download", root)
            arguments[arguments.index("--data-root") + 1] = str(root)
            arguments[arguments.index("--out") + 1] = str(root / ".sources/flags.json")
            running.append(processes.Stage(arguments, log, user=user))
        ended = [stage.wait() for stage in running]
        assert [end.code for end in ended] == [0] * 4, [end.text for end in ended]
        assert len(served.log) == before + 1
        shutil.rmtree(root / "flags")
        figures.add("several users on one data root", "served all", 4)
        for path in root.iterdir() if turn % 2 else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_folder_of_another_user_that_is_not_whole(world, root, tmp_path, figures):
    """Nobody can repair it for him: one line says whose place it is."""
    assert download(world, root, tmp_path / "log", FIRST).code == 0
    (root / "flags/split.json").unlink()
    ended = download(world, root, tmp_path / "log", SECOND)
    assert ended.code == 2 and "Traceback" not in ended.text
    line = ended.text.strip().splitlines()[-1]
    assert line.startswith("error: dataset 'flags': ") and str(root / "flags") in line and "Permission denied" in line
    figures.add("several users on one data root", "one line that names the folder")
