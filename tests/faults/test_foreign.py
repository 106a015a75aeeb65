"""What comes from outside: pictures, pickles, archives, settings. Nothing is run, nothing is written elsewhere, all is named."""

import io as bytes_io
import pickle
import shutil
import stat
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cocoop import io
from cocoop.backbone import model as backbone
from cocoop.cli import main
from cocoop.config.specs import BackboneSpec
from cocoop.data.download.extract import Limits, unpack
from cocoop.data.images import open_rgb
from cocoop.errors import UserError
from tests.faults.mutations import fuzz

PICTURES = ("png", "jpeg", "webp", "bmp", "gif", "tiff", "ppm")
NAMES = (
    "../x",
    "/etc/x",
    "a/../../x",
    "..\\x",
    "C:\\x",
    "~/x",
    "-rf",
    "$(touch canary)",
    "`id`",
    "a'b",
    'a"b',
    "a\nb",
    "é",
    "a;b",
    "x",
)
KINDS = ("file", "folder", "symlink", "hardlink", "character", "block", "fifo")


def painted(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (24, 31, 3), dtype=np.uint8)
    out = bytes_io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("kind", PICTURES)
def test_damaged_pictures_never_crash(kind, tmp_path, full, figures):
    """Formats without a checksum (all but PNG) decode some flipped bits to other pixels: counted, and said in the docs."""
    path, outcomes = tmp_path / f"x.{kind}", []
    path.write_bytes(painted(kind))
    fuzz(path, open_rgb, lambda a, b: a.tobytes() == b.tobytes(), 1000 if full else 40, outcomes.append)
    for outcome in outcomes:
        figures.add(f"damaged {kind.upper()} pictures", outcome)
    assert "crashed" not in outcomes


@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_cut_in_half_is_named(kind, tmp_path, figures):
    path, content = tmp_path / f"x.{kind}", painted(kind)
    for share in (0, 1, len(content) // 4, len(content) // 2, len(content) * 3 // 4):
        path.write_bytes(content[:share])
        with pytest.raises(UserError, match=r"unreadable image .*; replace it"):
            open_rgb(path)
        figures.add("truncated pictures", "one line that names the file")


@pytest.mark.parametrize("kind", ["eps", "pdf", "ico", "tga", "jpeg2000"])
def test_other_formats_under_a_pictures_name_are_not_decoded(kind, tmp_path, monkeypatch, figures):
    """Pillow would start Ghostscript for EPS; only the formats that datasets use are told by content."""
    path = tmp_path / "x.jpg"
    path.write_bytes(painted(kind))
    monkeypatch.setattr("subprocess.Popen", None)
    with pytest.raises(UserError, match=r"x\.jpg: unreadable image \(none of the formats BMP, .*\); replace it"):
        open_rgb(path)
    figures.add("pictures of other formats", "one line that names the file")


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return exec, (f"open({str(self.canary)!r}, 'w').close()",)


def poisons(canary: Path) -> dict[str, bytes]:
    """Malicious files in every container torch reads."""
    zipped, legacy = bytes_io.BytesIO(), bytes_io.BytesIO()
    torch.save({"state_dict": {"x": Evil(canary)}}, zipped)
    torch.save(Evil(canary), legacy, _use_new_zipfile_serialization=False)
    plain = pickle.dumps(Evil(canary))
    return {"zip": zipped.getvalue(), "legacy": legacy.getvalue(), "plain pickle": plain}


def test_the_canary_would_sing(tmp_path):
    pickle.loads(poisons(tmp_path / "canary")["plain pickle"])
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".safetensors"])
@pytest.mark.parametrize("kind", ["zip", "legacy", "plain pickle"])
def test_a_malicious_backbone_runs_nothing(kind, suffix, world, tmp_path, figures):
    canary, path = tmp_path / "canary", tmp_path / f"weights{suffix}"
    path.write_bytes(poisons(canary)[kind])
    spec = BackboneSpec("evil", str(world.folder / "small_random.json"), str(path))
    with pytest.raises(UserError, match="weights"):
        backbone.load(spec)
    assert not canary.exists()
    figures.add("malicious pickles", "refused, not run")


@pytest.mark.parametrize("kind", ["zip", "legacy", "plain pickle"])
@pytest.mark.parametrize("name", ["learned", "features", "views", "text-tower", "checkpoint", "predictions"])
def test_a_malicious_result_runs_nothing(name, kind, tmp_path, figures):
    canary, path = tmp_path / "canary", tmp_path / "x.safetensors"
    path.write_bytes(poisons(canary)[kind])
    with pytest.raises(UserError, match=rf"x\.safetensors: not a valid {name} file"):
        io.read_tensors(path, name)
    assert not canary.exists()
    figures.add("malicious pickles", "refused, not run")


def test_yaml_makes_no_objects(tmp_path, figures):
    path = tmp_path / "x.yaml"
    for tag in ("python/object/apply:os.system", "python/name:os.system", "python/object/new:os.system"):
        path.write_text(f"a: !!{tag} ['touch {tmp_path}/canary']\n")
        with pytest.raises(UserError, match=r"x\.yaml, line 1: not valid YAML"):
            io.read_yaml(path)
        figures.add("malicious YAML", "refused, not run")
    assert not (tmp_path / "canary").exists()


def tar(members) -> bytes:
    out = bytes_io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind, link in members:
            info = tarfile.TarInfo(name)
            info.type = {
                "file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE,
                "character": tarfile.CHRTYPE, "block": tarfile.BLKTYPE, "fifo": tarfile.FIFOTYPE,
            }[kind]  # fmt: skip
            info.linkname, info.size = link, 3 if kind == "file" else 0
            archive.addfile(info, bytes_io.BytesIO(b"abc"))
    return out.getvalue()


def zipped(members) -> bytes:
    """The same in a zip, where a kind is a Unix mode; a hard link does not exist there."""
    modes = {
        "file": stat.S_IFREG, "folder": stat.S_IFDIR, "symlink": stat.S_IFLNK, "hardlink": stat.S_IFLNK,
        "character": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO,
    }  # fmt: skip
    out = bytes_io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings(action="ignore"):  # it warns of doubles
        for name, kind, link in members:
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, (modes[kind] | 0o777) << 16
            archive.writestr(info, link if "link" in kind else "abc" if kind == "file" else "")
    return out.getvalue()


MEMBERS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(KINDS), st.sampled_from(NAMES)), min_size=1, max_size=6
)


@pytest.mark.parametrize("pack", [tar, zipped], ids=["tar", "zip"])
def test_hostile_archives_write_nothing_outside(pack, tmp_path, full, figures):
    """Random mixtures of bad names and kinds: unpacked below the target, or refused in one line; nothing else appears."""
    around = tmp_path / "around"

    @settings(
        max_examples=2000 if full else 100,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(MEMBERS)
    def once(members) -> None:
        target = around / "target"
        shutil.rmtree(around, ignore_errors=True)
        target.mkdir(parents=True)
        path = tmp_path / "x.tar"
        path.write_bytes(pack(members))
        try:
            unpack(path, target, "x.tar")
            outcome = "unpacked below the target"
        except UserError as error:
            assert str(error).startswith("x.tar: ") and "\n" not in str(error)
            outcome = "refused in one line"
        figures.add("hostile archives", outcome)
        assert [entry.name for entry in around.iterdir()] == ["target"]
        for entry in target.rglob("*"):
            assert not entry.is_symlink() and (entry.is_file() or entry.is_dir())
        assert {entry.name for entry in tmp_path.iterdir()} == {"around", "x.tar"}

    once()


@pytest.mark.parametrize("pack", [tar, zipped], ids=["tar", "zip"])
@pytest.mark.parametrize("kinds", [("file", "folder"), ("file", "file")], ids="-".join)
def test_a_file_where_a_folder_stands_is_refused(pack, kinds, tmp_path, figures):
    path = tmp_path / "x.tar"
    path.write_bytes(pack([("a", "file", ""), ("a/b" if kinds[1] == "file" else "a", kinds[1], "")]))
    with pytest.raises(UserError, match=r"^x.tar: unsafe archive: .* collides with another member; nothing was kept"):
        unpack(path, tmp_path / "target", "x.tar")
    figures.add("hostile archives", "refused in one line")


def test_bombs_of_size_and_count(tmp_path, figures):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", b"\0" * 5_000_000)
    with pytest.raises(UserError, match="unpacks to far more bytes"):
        unpack(path, tmp_path / "a", "bomb.zip", limits=Limits(expansion=10, least_bytes=1000))
    for place, pack in enumerate((tar, zipped)):
        path.write_bytes(pack([(f"f{i}", "file", "") for i in range(50)]))
        with pytest.raises(UserError, match="more than 20 members"):
            unpack(path, tmp_path / f"b{place}", "bomb", limits=Limits(members=20))
    figures.add("hostile archives", "refused in one line", 3)


@pytest.mark.parametrize("kind", [tar([(n, "file", "") for n in "abc"]), None], ids=["tar", "zip"])
def test_mutated_archives_never_crash(kind, tmp_path, full, figures):
    path, outcomes, number = tmp_path / "x.tar", [], [0]
    if kind is None:
        with zipfile.ZipFile(path, "w") as archive:
            for name in "abc":
                archive.writestr(name, name * 50)
    else:
        path.write_bytes(kind)

    def read(archive: Path) -> dict[str, bytes]:
        number[0] += 1
        target = tmp_path / f"out{number[0]}"
        target.mkdir()
        try:
            unpack(archive, target, str(archive))
            return {str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*") if p.is_file()}
        finally:
            shutil.rmtree(target)

    bad = fuzz(path, read, lambda a, b: a == b, 1500 if full else 60, outcomes.append)
    for outcome in outcomes:
        figures.add("mutated archives without a published checksum", outcome)
    assert not [line for line in bad if line.startswith("crashed")], bad[:3]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", "null", "{}", '{"name": "x"}', '{"name": 7, "settings": []}', '{"a": 1}', '{"backbone": {}}'],
)
@pytest.mark.parametrize("stage", ["download", "manifest", "text-tower", "features", "views", "train", "evaluate"])
def test_json_by_hand(stage, text, world, made, tmp_path, capsys, figures):
    """JSON that is not the workflow's: one line, exit code 2."""
    arguments = world.arguments(stage, tmp_path, made)
    option = next(word for word in ("--run", "--evaluation", "--dataset", "--backbone") if word in arguments)
    arguments[arguments.index(option) + 1] = text
    assert main(arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith(f"error: {option}")
    figures.add("JSON by hand", "one line")
