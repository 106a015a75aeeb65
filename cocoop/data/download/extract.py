"""Unpacks an untrusted archive: only regular files and folders, only inside the target, and with limits on their size."""

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from cocoop import io, progress
from cocoop.errors import CannotWrite, UserError

TAKEN = (FileExistsError, NotADirectoryError, IsADirectoryError)  # raised for a file and a folder with the same path
NOTHING_KEPT = "nothing of the archive was kept"
JUNK = ("__MACOSX", ".DS_Store")
MOST_HEADER_BYTES = 1 << 20
EXTENDED = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
# RuntimeError means an encrypted zip, NotImplementedError a zip with an unknown compression.
DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    NotImplementedError,
)


@dataclass(frozen=True)
class Limits:
    """Limits on the number of members and on the expansion, far above any image archive but below archive bombs."""

    members: int = 5_000_000
    expansion: int = 100
    least_bytes: int = 100_000_000


@dataclass
class Member:
    """An entry of an archive.

    Attributes:
        name: the name as stored.
        kind: file, folder, link or another kind.
        size: the size according to the archive.
        link: the target of a link.
        open: opens the entry.
    """

    name: str
    kind: str
    size: int
    link: str
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, target: Path, name: str, strip: str = "", limits: Limits | None = None) -> None:
    """Unpacks a tar (plain or compressed) or zip archive, which is recognised by its content, into `target`.

    name: the archive's name in messages.
    strip: a leading folder to remove from names that have it.
    Skips links inside the target, because no dataset needs them. Raises a UserError for names and links that lead outside,
    device files, duplicates and archive bombs.
    """
    unpacker = _Unpacker(archive, target, name, strip, limits or Limits())
    try:
        with _opened(archive, name) as members, progress.bar(None, f"unpacking {name}", "file") as shown:
            for member in members:
                try:
                    unpacker.take(member)
                except CannotWrite as error:
                    if isinstance(error.__cause__, TAKEN):
                        raise unpacker.unsafe(f"{member.name!r} collides with another member") from error
                    raise
                shown.update()
    except DAMAGED as error:
        raise UserError(f"{name}: corrupt archive ({error}); nothing was kept, download it again.") from error
    except OSError as error:
        raise UserError(f"{name}: cannot be unpacked into {target} ({error.strerror or error}).") from error


class _Unpacker:
    def __init__(self, archive: Path, target: Path, name: str, strip: str, limits: Limits) -> None:
        self.name, self.target, self.limits = name, target, limits
        self.strip = PurePosixPath(strip).parts
        self.bytes_left = max(limits.least_bytes, limits.expansion * archive.stat().st_size)
        self.seen: set[PurePosixPath] = set()
        self.members = 0

    def take(self, member: Member) -> None:
        self.members += 1
        if self.members > self.limits.members:
            raise self.unsafe(f"it has more than {self.limits.members:,} members")
        place = self._place(member)
        if member.kind == "link":
            self._refuse_link_out(member)
        elif member.kind not in ("file", "folder"):
            raise self.unsafe(f"{member.name!r} is a {member.kind}")
        if not place.parts or set(place.parts) & set(JUNK) or place.name.startswith("._") or member.kind == "link":
            return
        if member.kind == "folder":
            with io.writing(self.target / place, left=NOTHING_KEPT):
                (self.target / place).mkdir(parents=True, exist_ok=True)
            return
        if place in self.seen:
            raise self.unsafe(f"it contains {member.name!r} twice")
        self.seen.add(place)
        self._write(member, self.target / place)

    def _place(self, member: Member) -> PurePosixPath:
        if not member.name:
            raise self.unsafe("one of its members has no name")
        name = member.name.replace("\\", "/")
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\0" in name or (parts and parts[0].endswith(":")):
            raise self.unsafe(f"{member.name!r} is outside the dataset's folder")
        if parts[: len(self.strip)] == self.strip:
            parts = parts[len(self.strip) :]
        return PurePosixPath(*parts)

    def _refuse_link_out(self, member: Member) -> None:
        depth = 0
        start = [] if member.link.startswith("/") else list(PurePosixPath(member.name).parts[:-1])
        for part in [*start, *PurePosixPath(member.link).parts]:
            depth += -1 if part == ".." else 1
            if depth < 0 or part == "/":
                raise self.unsafe(
                    f"{member.name!r} is a link to {member.link!r}, which is outside the dataset's folder"
                )

    def _write(self, member: Member, path: Path) -> None:
        with member.open() as source, self._created(path, member.size) as out:
            while piece := source.read(1 << 20):
                self.bytes_left -= len(piece)
                if self.bytes_left < 0:
                    raise self.unsafe("it unpacks to far more bytes than any image archive")
                with io.writing(path, member.size, NOTHING_KEPT):
                    out.write(piece)

    @contextmanager
    def _created(self, path: Path, size: int) -> Iterator[IO[bytes]]:
        """Opens a new file for writing. Only errors from opening and closing it count as a full disk, not those of the archive."""
        with io.writing(path, size, NOTHING_KEPT):
            path.parent.mkdir(parents=True, exist_ok=True)
            out = path.open("xb")
        try:
            yield out
        finally:
            with io.writing(path, size, NOTHING_KEPT):
                out.close()

    def unsafe(self, what: str) -> UserError:
        """The error for an unsafe archive."""
        return UserError(f"{self.name}: unsafe archive: {what}; nothing was kept. Download it from another source.")


def merge(source: Path, target: Path) -> None:
    """Moves the content of `source` into `target`; a new folder appears complete, in one step."""
    target.mkdir(parents=True, exist_ok=True)
    for entry in sorted(source.iterdir()):
        place = target / entry.name
        if entry.is_dir() and place.is_dir():
            merge(entry, place)
        else:
            if place.is_dir() or (entry.is_dir() and place.exists()):
                raise UserError(f"{place}: conflict between a file and a folder with this path; move it away.")
            entry.replace(place)
    shutil.rmtree(source)


def _opened(archive: Path, name: str) -> AbstractContextManager[Iterator[Member]]:
    try:
        return _Tar(archive)
    except tarfile.ReadError:  # not a tar archive
        pass
    if zipfile.is_zipfile(archive):
        return _Zip(archive)
    raise UserError(f"{name}: not a readable tar or zip archive; nothing was kept, download it again.")


class _Header(tarfile.TarInfo):
    """Rejects huge extended headers (such as a long name), because tarfile reads them into memory."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:  # tarfile's hook for subclasses
        if self.type in EXTENDED and self.size > MOST_HEADER_BYTES:
            raise tarfile.TarError(f"a header of {self.size:,} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]


class _Tar:
    def __init__(self, archive: Path) -> None:
        self.tar = tarfile.open(archive, tarinfo=_Header)  # noqa: SIM115 (closed by __exit__)

    def __enter__(self) -> Iterator[Member]:
        return map(self._member, self.tar)

    def __exit__(self, *_: object) -> None:
        self.tar.close()

    def _member(self, info: tarfile.TarInfo) -> Member:
        self.tar.members = []  # type: ignore[attr-defined]  # otherwise, a million entries would stay in memory
        kinds = {"folder": info.isdir(), "file": info.isreg(), "link": info.issym() or info.islnk()}
        kind = next((kind for kind, holds in kinds.items() if holds), "device file")
        link = info.linkname
        if info.islnk() and not link.startswith("/"):  # the target of a hard link is relative to the archive's root
            link = "../" * (len(PurePosixPath(info.name).parts) - 1) + info.linkname
        return Member(info.name, kind, info.size, link, lambda: cast(IO[bytes], self.tar.extractfile(info)))


class _Zip:
    def __init__(self, archive: Path) -> None:
        self.zip = zipfile.ZipFile(archive)

    def __enter__(self) -> Iterator[Member]:
        return map(self._member, self.zip.infolist())

    def __exit__(self, *_: object) -> None:
        self.zip.close()

    def _member(self, info: zipfile.ZipInfo) -> Member:
        mode = stat.S_IFMT(info.external_attr >> 16)
        kind = {stat.S_IFLNK: "link", 0: "file", stat.S_IFREG: "file", stat.S_IFDIR: "folder"}.get(mode, "device file")
        if info.filename.endswith("/"):
            kind = "folder"
        link = self._text(info) if kind == "link" else ""
        return Member(info.filename, kind, info.file_size, link, lambda: self._open(info))

    def _open(self, info: zipfile.ZipInfo) -> IO[bytes]:
        return self.zip.open(info)

    def _text(self, info: zipfile.ZipInfo) -> str:
        return self.zip.read(info).decode("utf-8", "replace") if info.file_size < 4096 else "/"
