"""Things named like pictures that are none, and pictures nobody can read: named and counted at once, and nothing waits."""

import os
import socket
import subprocess
import sys

import pytest

from cocoop import io
from cocoop.data import on_disk
from tests.data.command_line import per_class

CLASSES = per_class("cat", "dog", "cow", "emu", number=8)
STRANGE = {
    "folder": ("folders", lambda path: path.mkdir()),
    "pipe": ("pipes", os.mkfifo),
    "broken link": ("broken links", lambda path: path.symlink_to("../annex/9.jpg")),
    "link to itself": ("broken links", lambda path: path.symlink_to(path.name)),
    "link to a folder": ("folders", lambda path: path.symlink_to(path.parent)),
    "link to a pipe": ("pipes", lambda path: (os.mkfifo(path.parent / ".pipe"), path.symlink_to(".pipe"))),
    "socket": ("sockets", lambda path: bound(path)),
    "link to a device": ("devices", lambda path: path.symlink_to("/dev/null")),
}


def bound(path) -> None:
    """A socket by that name; its address may have at most 107 bytes, so it is made in the folder itself."""
    before = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


def good(own):
    """A dataset that is all right, with its YAML."""
    own.lay_out(*CLASSES)
    assert own.new().code == 0 and own.check().code == 0 and own.stage().code == 0
    (own.folder / "manifest.json").unlink()
    return own


@pytest.mark.parametrize("what", STRANGE)
def test_a_non_image_with_an_image_name_is_an_error(what, own):
    kind, make = STRANGE[what]
    good(own)
    make(own.pictures / "cat/9.jpg")
    told = f"1 of 33 images are missing ({kind}); first: cat/9.jpg."
    assert told in own.stage().err
    said = own.check()
    assert said.code == 2 and f"problem: {told}" in said.out
    own.yaml.unlink()
    assert told in own.refused()
    assert not (own.folder / "manifest.json").exists()


@pytest.mark.parametrize("command", ["new", "check", "manifest", "features"])
@pytest.mark.parametrize("place", ["a picture", "the table"])
def test_no_command_waits_for_a_pipe(command, place, own):
    if place == "a picture":
        good(own)
        os.mkfifo(own.pictures / "cat/9.jpg")
    else:
        own.lay_out(*CLASSES, labels_csv="path,class\n" + "".join(f"{path},{path[:3]}\n" for path in CLASSES))
        assert own.new("labels.csv").code == 0 and own.stage().code == 0
        (own.pictures / "labels.csv").unlink()
        os.mkfifo(own.pictures / "labels.csv")
    settings = io.canonical_json({"name": "own", "settings": own.settings})
    words = {
        "new": ["dataset", "new", str(own.pictures), "--name", "another"],
        "check": ["dataset", "check", "own"],
        "manifest": ["manifest", "--dataset", settings, "--data-root", "data", "--out", "manifest.json"],
        "features": [],
    }[command]
    line = [sys.executable, "-m", "cocoop", *words]
    if command == "features":  # what it opens each picture with
        line = [sys.executable, "-c", "import sys; from cocoop.data.images import open_rgb; open_rgb(sys.argv[1])"]
        line.append(str(own.pictures / ("cat/9.jpg" if place == "a picture" else "labels.csv")))
    done = subprocess.run(
        line, cwd=own.folder, timeout=100, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(io.REPOSITORY)}
    )  # fmt: skip
    if (command, place) == ("new", "the table"):  # class folders lie beside it
        assert done.returncode == 0 and "left out: labels.csv" in done.stdout
    else:
        assert done.returncode != 0 and ("pipe" in done.stdout + done.stderr)


def test_a_clone_of_git_annex_before_its_files_are_fetched(own):
    good(own)
    for path in CLASSES:
        (own.pictures / path).unlink()
        (own.pictures / path).symlink_to(f"../../.git/annex/objects/{path}")
    for said in (own.check(), own.stage(), own.run("dataset", "new", own.pictures, "--name", "another")):
        assert said.code == 2
        assert "32 of 32 images are missing (broken links); first: " in said.text
        assert "(+29 more)" in said.text and "`datalad get .`" in said.text


def test_several_kinds_are_counted_apart(own):
    good(own)
    for name in ("9.jpg", "10.jpg"):
        (own.pictures / "cat" / name).symlink_to("nowhere")
    (own.pictures / "dog/9.jpg").mkdir()
    assert "3 of 35 images are missing (broken links: 2, folders: 1); first: " in own.stage().err


def test_pictures_nobody_may_read(own, monkeypatch):
    """The rights are asked for, as the superuser may read all files."""
    good(own)
    monkeypatch.setattr(on_disk.os, "access", lambda path, mode: not path.endswith("cat/3.jpg"))
    assert "1 of 32 images are missing (files you may not read); first: cat/3.jpg." in own.stage().err


def test_links_to_pictures_elsewhere_are_pictures(own):
    good(own)
    (own.folder / "store").mkdir()
    for path in CLASSES:
        target = own.folder / "store" / path.replace("/", "-")
        (own.pictures / path).rename(target)
        (own.pictures / path).symlink_to(target)
    assert own.check().code == 0 and own.stage().code == 0


def test_images_of_a_table_that_are_links_to_nothing(own):
    own.lay_out(*CLASSES, labels_csv="path,class\n" + "".join(f"{path},{path[:3]}\n" for path in CLASSES))
    for path in CLASSES:
        (own.pictures / path).unlink()
        (own.pictures / path).symlink_to("nowhere.jpg")
    assert "32 of 32 images are missing (broken links)" in own.refused("labels.csv")


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n"])
def test_a_class_without_one_readable_picture(content, own):
    good(own)
    for path in CLASSES[:8]:
        (own.pictures / path).write_bytes(content)
    said = own.check()
    assert said.code == 2
    assert "problem: 8 unreadable images" in said.out and "problem: 1 class has no readable image: cat" in said.out
    assert said.err.endswith("error: dataset 'own': 2 problems, listed above.\n")
    own.yaml.unlink()
    assert "1 class has no readable image: cat. First: " in own.refused()


def test_check_lists_every_problem(own):
    good(own)
    settings = own.settings | {"classes": 7, "sizes": {"train": 1, "val": 8, "test": 8}, "class_list_sha256": "0" * 64}
    own.yaml.write_text(io.canonical_json(settings))
    (own.pictures / "cat/9.jpg").mkdir()
    (own.pictures / "dog/0.jpg").write_bytes((own.pictures / "dog/1.jpg").read_bytes()[:99])
    said = own.check()
    problems = [line for line in said.out.splitlines() if line.startswith("problem: ")]
    assert len(problems) == 5, said.out
    assert said.code == 2 and said.err.endswith("5 problems, listed above.\n")
