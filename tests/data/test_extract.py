"""Archives from outside: what is unpacked, and what is refused."""

import io
import stat
import tarfile
import tracemalloc
import zipfile

import pytest

from cocoop.data.download.extract import Limits, merge, unpack
from cocoop.errors import UserError
from tests.data.builders import packed

KINDS = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz", "zip": "zip"}


def entries(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refusal(archive, tmp_path, **keys):
    (tmp_path / "a").write_bytes(archive)
    target = tmp_path / "into"
    target.mkdir(exist_ok=True)
    with pytest.raises(UserError) as error:
        unpack(tmp_path / "a", target, "a.tar", **keys)
    outside = {path.name for path in tmp_path.iterdir()} - {"a", "into"}
    assert not outside
    return str(error.value)


def tar_of(*infos):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for info in infos:
            tar.addfile(info, io.BytesIO(b"x" * info.size))
    return out.getvalue()


def info(name, kind=tarfile.REGTYPE, link="", size=0):
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, link, size
    return member


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_by_content_not_by_name(kind, tmp_path):
    tree = {
        "top/images/a b.jpg": b"1",
        "top/ünï/熊.JPG": b"2",
        "other.txt": b"3",
        "__MACOSX/top/._a": b"",
        "top/.DS_Store": b"",
    }
    (tmp_path / "archive.bin").write_bytes(packed(tree, KINDS[kind]))
    unpack(tmp_path / "archive.bin", tmp_path / "into", "archive.bin", strip="top")
    assert entries(tmp_path / "into") == {"images/a b.jpg": b"1", "ünï/熊.JPG": b"2", "other.txt": b"3"}


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "..\\evil", "C:/evil"])
@pytest.mark.parametrize("kind", ["w", "zip"])
def test_names_that_lead_out(name, kind, tmp_path):
    message = refusal(packed({name: b"x"}, kind), tmp_path)
    assert (
        message.startswith("a.tar: unsafe archive: ") and "is outside the dataset's folder; nothing was kept" in message
    )


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd"])
def test_links_that_lead_out(kind, target, tmp_path):
    message = refusal(tar_of(info("images/link", kind, target)), tmp_path)
    assert f"'images/link' is a link to {target!r}" in message.replace("../../../", "../../")


def test_a_zip_with_a_link_out(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "../../etc")
    assert "'link' is a link to" in refusal(out.getvalue(), tmp_path)


def test_links_inside_are_left_out(tmp_path):
    links = info("d/soft", tarfile.SYMTYPE, "f"), info("hard", tarfile.LNKTYPE, "d/f")
    (tmp_path / "a").write_bytes(tar_of(info("d/f", size=1), *links))
    unpack(tmp_path / "a", tmp_path / "into", "a.tar")
    assert entries(tmp_path / "into") == {"d/f": b"x"}


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_device_files(kind, tmp_path):
    assert "'dev' is a device file" in refusal(tar_of(info("dev", kind)), tmp_path)


def test_an_archive_with_a_duplicate_member(tmp_path):
    assert "it contains 'x.jpg' twice" in refusal(tar_of(info("x.jpg", size=1), info("x.jpg", size=2)), tmp_path)


def test_a_zip_member_without_a_name(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo(""), b"x")
    assert "one of its members has no name" in refusal(out.getvalue(), tmp_path)


@pytest.mark.parametrize("kind", ["w:gz", "zip"])
def test_bombs(kind, tmp_path):
    bomb = packed({"zeros": bytes(3_000_000)}, kind)
    assert "unpacks to far more bytes" in refusal(bomb, tmp_path, limits=Limits(expansion=10, least_bytes=1000))
    many = packed({f"{n}.jpg": b"" for n in range(11)}, kind)
    assert "has more than 10 members" in refusal(many, tmp_path, limits=Limits(members=10))


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_header_that_is_a_bomb(form, tmp_path):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=form) as archive:
        archive.addfile(tarfile.TarInfo("x" * 40_000_000))
    tracemalloc.start()
    assert "corrupt archive (a header of 40,000," in refusal(out.getvalue(), tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_archive(kind, tmp_path):
    whole = packed({"x.jpg": bytes(range(256)) * 400}, KINDS[kind])
    message = refusal(whole[: len(whole) // 2], tmp_path)
    assert message.startswith("a.tar: ") and "archive" in message and "download it again" in message


def test_flipped_byte_in_a_zip(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("x.jpg", b"content")
    damaged = out.getvalue().replace(b"content", b"cuntent", 1)
    assert "corrupt archive (Bad CRC-32" in refusal(damaged, tmp_path)


def test_no_archive_at_all(tmp_path):
    assert "not a readable tar or zip archive" in refusal(b"hello", tmp_path)


def test_merge_puts_new_files_among_old_ones(tmp_path):
    for name in ("new/d/a", "new/e/b", "old/d/c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    merge(tmp_path / "new", tmp_path / "old")
    assert sorted(entries(tmp_path / "old")) == ["d/a", "d/c", "e/b"]
    assert not (tmp_path / "new").exists()
