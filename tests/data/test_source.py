"""Getting a dataset into the data root: downloads that fail, mirrors, own copies, offline, two at once."""

import hashlib
import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from cocoop import io
from cocoop.config.specs import DatasetSpec
from cocoop.data import prepare
from cocoop.data.download import drive, extract, lock, source, transfer
from cocoop.data.download.place import missing
from cocoop.errors import UserError
from tests.data.builders import lay_out, packed, picture

IMAGES = {f"{name}/{n}.jpg": picture(n) for name in ("cat", "dog") for n in range(10)}
SPLIT = {"train": 0.5, "val": 0.2, "test": 0.3, "seed": 1}


def spec_of(server, path, archive, **keys):
    """A dataset of one archive, served at `path`."""
    file = {
        "file": "pets.zip",
        "sources": [server.put(path, archive)],
        "sha256": hashlib.sha256(archive).hexdigest(),
        "bytes": len(archive),
        "gives": ["images"],
        "extract": {"into": "images"},
    }
    settings = {
        "title": "Own",
        "template": "a photo of a {}.",
        "download": [file],
        "reader": {"kind": "image_folder", "images": "images", "split": SPLIT},
    }
    return DatasetSpec("own", settings | keys)


def refused(spec, tmp_path, **keys):
    """The message of a download that fails and leaves nothing behind but the lock."""
    with pytest.raises(UserError) as error:
        prepare.download(spec, tmp_path / "data", tmp_path / "source.json", **keys)
    left = [path for path in tmp_path.rglob("*") if path.name != ".own.lock" and path != tmp_path / "data"]
    assert left == []
    return str(error.value)


def test_download_twice_fetches_once(server, tmp_path):
    spec = spec_of(server, "/source/once", packed(IMAGES, "zip"))
    for _ in range(2):
        prepare.download(spec, tmp_path / "data", tmp_path / "source.json")
    assert [path for path, _ in server.log].count("/source/once") == 1
    assert len(prepare.manifest(spec, tmp_path / "data", tmp_path / "m.json").splits["train"]) == 10
    assert sorted(path.name for path in (tmp_path / "data" / "own").iterdir()) == [".download", "images"]
    assert not list((tmp_path / "data" / "own" / ".download").glob("*.part"))


@pytest.mark.parametrize("way", ["html", "truncate", "gone"])
def test_a_failed_download_leaves_nothing(way, server, tmp_path):
    archive = packed(IMAGES, "zip")
    spec = spec_of(server, f"/source/{way}", archive)
    server.ways[f"/source/{way}"] = way
    message = refused(spec, tmp_path)
    assert message.startswith(f"dataset 'own': pets.zip: could not be downloaded; from {server.url}/source/{way}: ")
    if way != "gone":
        assert f"expected {hashlib.sha256(archive).hexdigest()}" in message and "(sha256 " in message


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    spec = spec_of(server, "/source/wrong", packed(IMAGES, "zip"))
    server.put("/source/wrong", packed(IMAGES, "w:gz"))
    assert "wrong checksum (sha256 " in refused(spec, tmp_path)


def test_an_unsafe_archive_leaves_nothing(server, tmp_path):
    assert "unsafe archive: '../evil.jpg' is outside" in refused(
        spec_of(server, "/source/unsafe", packed(IMAGES | {"../evil.jpg": b""}, "zip")), tmp_path
    )


def test_an_archive_of_another_layout_leaves_nothing(server, tmp_path):
    spec = spec_of(server, "/source/layout", packed({"photos/a.jpg": b""}, "zip"))
    spec.settings["download"][0]["extract"] = {"into": "."}
    message = refused(spec, tmp_path)
    assert message == "dataset 'own': pets.zip: unexpected layout of the archive: no images in photos."


def test_a_missing_inner_archive_is_reported(server, tmp_path):
    spec = spec_of(server, "/source/inner", packed(IMAGES, "zip"))
    spec.settings["download"][0]["extract"] = {"into": "images", "inner": ["more.tar"]}
    assert "pets.zip: contains no more.tar, so its layout is not the expected one" in refused(spec, tmp_path)


def test_what_a_killed_process_left_is_cleared(server, tmp_path):
    spec = spec_of(server, "/source/killed", packed(IMAGES, "zip"))
    lay_out({".download/unpacking-x/all/images/half.jpg": b""}, tmp_path / "data" / "own")
    prepare.download(spec, tmp_path / "data", tmp_path / "source.json")
    assert [path.name for path in (tmp_path / "data" / "own" / ".download").iterdir()] == ["pets.zip.json"]


def test_the_mirror_steps_in(server, tmp_path, capsys):
    mirror = packed({f"own/images/{name}": content for name, content in IMAGES.items()}, "zip")
    file = {
        "file": "own-mirror.zip",
        "sources": [server.put("/source/mirror", mirror)],
        "gives": ["images"],
        "extract": {"strip": "own"},
    }
    spec = spec_of(server, "/source/dead", packed(IMAGES, "zip"), mirror=file)
    server.ways["/source/dead"] = "gone"
    prepare.download(spec, tmp_path / "data", tmp_path / "source.json")
    assert "HTTP 404 Not Found. Trying the mirror." in (said := capsys.readouterr().err)
    digest = hashlib.sha256(mirror).hexdigest()
    assert f"own-mirror.zip: there is no published checksum; recorded sha256 {digest}" in said
    (record,) = [r for r in io.read_json(tmp_path / "source.json", "source")["files"] if "url" in r]
    assert (record["file"], record["verified"], record["file_sha256"]) == ("own-mirror.zip", False, digest)


def test_if_the_mirror_also_fails_both_are_reported(server, tmp_path):
    file = {"file": "m.zip", "sources": [f"{server.url}/nowhere"], "gives": ["images"], "extract": {"into": "."}}
    spec = spec_of(server, "/source/dead2", packed(IMAGES, "zip"), mirror=file, manual="Ask the authors.")
    server.ways["/source/dead2"] = "gone"
    message = refused(spec, tmp_path)
    assert (
        "pets.zip: could not be downloaded" in message
        and "The mirror failed as well: m.zip: could not be downloaded" in message
    )
    assert message.endswith("Ask the authors.")


def test_offline_refuses_politely(server, tmp_path):
    spec = spec_of(server, "/source/offline", packed(IMAGES, "zip"))
    assert refused(spec, tmp_path, offline=True) == (
        f"dataset 'own': offline, but {tmp_path}/data/own lacks images; put it there, or run the download once with"
        " internet access."
    )
    assert "/source/offline" not in [path for path, _ in server.log]


def test_offline_accepts_manually_added_files(server, tmp_path):
    spec = spec_of(server, "/source/offline2", packed(IMAGES, "zip"))
    lay_out({f"images/{name}": content for name, content in IMAGES.items()}, tmp_path / "data" / "own")
    prepare.download(spec, tmp_path / "data", tmp_path / "source.json", offline=True)
    assert io.read_json(tmp_path / "source.json", "source")["files"] == [{"file": "pets.zip", "found": ["images"]}]
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"own"}, "a complete data root is not written to"


def test_a_missing_split_file_is_reported_without_write_access(server, tmp_path, monkeypatch):
    spec = spec_of(server, "/source/kept", packed(IMAGES, "zip"))
    spec.settings["download"].append(
        {"file": "split.json", "sources": [server.put("/source/split", b"{}")], "optional": True}
    )
    lay_out({f"images/{name}": content for name, content in IMAGES.items()}, tmp_path / "data" / "own")
    prepare.download(spec, tmp_path / "data", tmp_path / "source.json", offline=True)
    assert io.read_json(tmp_path / "source.json", "source")["notes"] == ["split.json is missing"]
    monkeypatch.setattr(source.os, "access", lambda path, mode: False)  # another user's data root
    prepare.download(spec, tmp_path / "data", tmp_path / "source.json")
    assert {path.name for path in (tmp_path / "data").rglob("*") if path.is_file()} == {f"{n}.jpg" for n in range(10)}
    monkeypatch.undo()
    prepare.download(spec, tmp_path / "data", tmp_path / "source.json")
    assert (tmp_path / "data" / "own" / "split.json").read_bytes() == b"{}"


def test_too_little_room(server, tmp_path, monkeypatch):
    spec = spec_of(server, "/source/room", packed(IMAGES, "zip"))
    spec.settings["download"][0]["bytes"] = 10**15
    assert "pets.zip needs about 2000000.0 GB, " in refused(spec, tmp_path)


def test_data_root_that_cannot_be_written(server, tmp_path):
    (tmp_path / "data").write_text("a file, not a folder")
    spec = spec_of(server, "/source/root", packed(IMAGES, "zip"))
    with pytest.raises(UserError, match=r"data: cannot be written .*; use another data_root"):
        prepare.download(spec, tmp_path / "data", tmp_path / "source.json")


def _download_in_a_process(settings, data_root, out, address):
    drive.ADDRESS, transfer.PAUSE_SECONDS = address, 0
    prepare.download(DatasetSpec("own", settings), Path(data_root), Path(out))


def test_two_processes_at_once_do_not_harm_each_other(server, tmp_path):
    spec = spec_of(server, "/source/two", packed(IMAGES, "zip"))
    context = multiprocessing.get_context("spawn")
    jobs = [
        context.Process(
            target=_download_in_a_process,
            args=(
                json.loads(json.dumps(spec.settings)),
                str(tmp_path / "data"),
                str(tmp_path / f"{n}.json"),
                drive.ADDRESS,
            ),
        )
        for n in range(3)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    assert [job.exitcode for job in jobs] == [0, 0, 0]
    assert [path for path, _ in server.log].count("/source/two") == 1
    assert len({(tmp_path / f"{n}.json").read_bytes() for n in range(3)}) == 1
    assert not missing(spec, tmp_path / "data" / "own")


def test_a_second_process_waits_for_the_first(server, tmp_path, capsys, monkeypatch):
    spec = spec_of(server, "/source/waits", packed(IMAGES, "zip"))
    (tmp_path / "data").mkdir()
    held = FileLock(tmp_path / "data" / ".own.lock")
    held.acquire()
    said = []
    monkeypatch.setattr(lock, "_say", lambda text: (held.release(), said.append(text)))
    prepare.download(spec, tmp_path / "data", tmp_path / "source.json")
    assert said == [f"dataset 'own': waiting for another process that downloads it ({tmp_path}/data/.own.lock)"]


def test_limits_leave_room_for_real_datasets():
    assert extract.Limits().members > 1_300_000 and extract.Limits().expansion >= 50


@pytest.mark.parametrize(
    "miniature", [{"name": "digits", "seed": 1}, {"name": "letters"}], ids=["another seed", "another name"]
)
def test_another_miniature_in_the_folder_is_refused(miniature, tmp_path):
    """The folder is kept as it is, so its pictures would pass for those of the new seed."""
    reader = {"kind": "coop_split", "file": "split.json", "images": "images"}
    settings = {"title": "Mini", "template": "a {}.", "miniature": {"name": "digits"}, "reader": reader}
    stamp = tmp_path / "source.json"
    for seed in ({}, {"seed": 0}):  # 0 is the default
        drawn = settings | {"miniature": settings["miniature"] | seed}
        prepare.download(DatasetSpec("mini", drawn), tmp_path, stamp)
    stamp.unlink()
    with pytest.raises(
        UserError, match=r"mini contains the miniature 'digits' with seed 0, but the YAML .* move .* away"
    ):
        prepare.download(DatasetSpec("mini", settings | {"miniature": miniature}), tmp_path, stamp)
    assert not stamp.exists()


def test_files_of_another_checksum_in_the_folder_are_refused(server, tmp_path):
    archive = packed(IMAGES, "zip")
    spec = spec_of(server, "/source/first", archive)
    prepare.download(spec, tmp_path / "data", tmp_path / "source.json")
    other = [spec.settings["download"][0] | {"sha256": "0" * 64}]
    with pytest.raises(UserError, match=r"own contains pets.zip with sha256 .*, but the YAML file now says sha256 000"):
        prepare.download(
            replace(spec, settings={**spec.settings, "download": other}), tmp_path / "data", tmp_path / "b.json"
        )
    assert not (tmp_path / "b.json").exists()
