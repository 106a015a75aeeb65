"""One file from the first of its sources that gives it whole: resumed, retried, verified.

requests rather than pooch or gdown: pooch cannot resume, gdown neither verifies nor takes several sources.
"""

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from cocoop import progress
from cocoop.data import drive
from cocoop.errors import UserError

TIMEOUT_SECONDS = (20.0, 60.0)  # to connect, and between two pieces
TRIES_WITHOUT_PROGRESS = 4
PAUSE_SECONDS = 1.0  # doubled with each try
CHUNK = 1 << 20
RETRIED = frozenset((408, 425, 429, 500, 502, 503, 504))
UNKNOWN = "not known"


class SourceError(Exception):
    """Why one source did not give the file."""


class Interrupted(SourceError):
    """The connection broke; what came so far may be continued."""


@dataclass(frozen=True)
class Fetched:
    """A whole file on disk. verified: whether a published checksum was there to compare with."""

    path: Path
    url: str
    sha256: str
    bytes: int
    verified: bool


def fetch(file: Mapping[str, Any], folder: Path) -> Fetched:
    """Downloads a `file` entry of a dataset's YAML into `folder` (a scratch folder; the file is called *.part there).

    A UserError says for each source, with both hashes, what was wrong; of a wrong answer nothing is kept. Of a transfer
    that broke off the part is kept where the server can continue it, and continued at the next call.
    """
    failures = []
    for source in file["sources"]:
        part = folder / f"{file['file']}.{hashlib.sha256(source.encode()).hexdigest()[:8]}.part"
        try:
            return _from_source(file, source, part)
        except SourceError as error:
            failures.append(f"from {source}: {error}")
            if not (isinstance(error, Interrupted) and _validator(part).exists()):
                _discard(part)
    raise UserError(f"{file['file']}: no source gave it; " + "; ".join(failures) + ".")


def _from_source(file: Mapping[str, Any], source: str, part: Path) -> Fetched:
    with requests.Session() as session:
        session.headers["Accept-Encoding"] = "identity"  # a .tar.gz must arrive as it lies there
        try:
            url = source
            if source.startswith(drive.PREFIX):
                url = drive.address(session, source.removeprefix(drive.PREFIX), TIMEOUT_SECONDS)
            _transfer(session, url, part, file)
        except (requests.RequestException, HTTPError) as error:
            raise SourceError(_reason(error)) from error
    sha256, md5 = _digests(part)
    size = part.stat().st_size
    verified = _check(file, part, sha256, md5, size)
    _validator(part).unlink(missing_ok=True)
    return Fetched(part, source, sha256, size, verified)


def _transfer(session: requests.Session, url: str, part: Path, file: Mapping[str, Any]) -> None:
    """Fills `part`, continuing it as often as each try brings it forward."""
    tries = 0
    while True:
        before = _size(part)
        try:
            _one_try(session, url, part, file)
            return
        except _Again as again:
            tries = 0 if _size(part) > before else tries + 1
            if tries >= TRIES_WITHOUT_PROGRESS or (_size(part) and not _validator(part).exists()):
                raise _broken_off(file, part, again) from again
            time.sleep(PAUSE_SECONDS * 2**tries)


class _Again(Exception):
    """This try failed, another may do."""

    def __init__(self, reason: str, total: int | None = None) -> None:
        super().__init__(reason)
        self.total = total


def _one_try(session: requests.Session, url: str, part: Path, file: Mapping[str, Any]) -> None:
    headers, have = {}, _size(part)
    if have and _validator(part).exists():
        headers = {"Range": f"bytes={have}-", "If-Range": _validator(part).read_text(encoding="utf-8")}
    try:
        response = session.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS)
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _Again(_reason(error)) from error
    with response:
        if response.status_code == 416:
            _discard(part)
            raise _Again("the server cannot continue there")
        if response.status_code in RETRIED:
            raise _Again(f"HTTP {response.status_code} {response.reason}")
        if not response.ok:
            raise SourceError(f"HTTP {response.status_code} {response.reason}")
        if drive.is_html(response) and not file["file"].endswith((".html", ".htm")):
            raise SourceError(_page(response.raw.read(10 * CHUNK), file))
        resumed = response.headers.get("Content-Range", "").startswith(f"bytes {have}-") and response.status_code == 206
        if response.status_code == 206 and not resumed:
            _discard(part)
            raise _Again("the server continued at another place")
        _note_validator(response, part)
        _write(response, part, have if resumed else 0, file["file"])


def _write(response: requests.Response, part: Path, have: int, name: str) -> None:
    length = response.headers.get("Content-Length", "")
    total = have + int(length) if length.isdigit() else None
    with (
        part.open("ab" if have else "wb") as out,
        progress.bar(total, name, "B", initial=have, unit_scale=True, unit_divisor=1024) as shown,
    ):
        try:
            for piece in response.raw.stream(CHUNK, decode_content=False):
                out.write(piece)
                shown.update(len(piece))
        except HTTPError as error:
            raise _Again(_reason(error), total) from error


def _check(file: Mapping[str, Any], part: Path, sha256: str, md5: str, size: int) -> bool:
    """Raises unless the file is the published one; either checksum will do, as they come from different publishers."""
    with part.open("rb") as content:
        start = content.read(64 * 1024)
    if re.match(rb"\s*(<!doctype html|<html)", start, re.IGNORECASE) and not file["file"].endswith((".html", ".htm")):
        raise SourceError(_page(start, file, sha256))
    if "sha256" in file or "md5" in file:
        if file.get("sha256") == sha256 or file.get("md5") == md5:
            return True
        got = f"sha256 {sha256}, expected {file['sha256']}" if "sha256" in file else f"md5 {md5}, expected {file['md5']}"
        raise SourceError(f"wrong checksum ({got}; {size:,} bytes{_expected_size(file)}); nothing was kept")
    if file.get("bytes", size) != size:
        raise SourceError(f"wrong size ({size:,} bytes{_expected_size(file)}, sha256 {sha256}, expected {UNKNOWN}); nothing was kept")
    return False


def _page(content: bytes, file: Mapping[str, Any], sha256: str = "") -> str:
    title = re.search(rb"<title[^>]*>(.*?)</title>", content, re.IGNORECASE | re.DOTALL)
    said = f" ({' '.join(title[1].decode('utf-8', 'replace').split())[:80]!r})" if title else ""
    sha256 = sha256 or hashlib.sha256(content).hexdigest()
    return f"an HTML page{said} instead of the file (sha256 {sha256}, expected {_expected_hash(file)}); nothing was kept"


def _broken_off(file: Mapping[str, Any], part: Path, again: _Again) -> SourceError:
    size = _size(part)
    if not size:
        return SourceError(str(again))
    sha256, _ = _digests(part)
    of = f" of {again.total:,}" if again.total else ""
    found = f"truncated after {size:,}{of} bytes (sha256 {sha256}, expected {_expected_hash(file)})"
    if _validator(part).exists():
        return Interrupted(f"{found}; kept as {part}, run again to go on from there")
    return SourceError(f"{found}; nothing was kept")


def _note_validator(response: requests.Response, part: Path) -> None:
    """Keeps what tells a later try that the file on the server is still the same (RFC 9110, 13.1.5: no weak ETag)."""
    etag = response.headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
    if validator and response.headers.get("Accept-Ranges") != "none":
        _validator(part).write_text(validator, encoding="utf-8")
    else:
        _validator(part).unlink(missing_ok=True)


def _validator(part: Path) -> Path:
    return part.with_name(part.name + ".validator")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _validator(part).unlink(missing_ok=True)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _digests(path: Path) -> tuple[str, str]:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            sha256.update(piece)
            md5.update(piece)
    return sha256.hexdigest(), md5.hexdigest()


def _expected_hash(file: Mapping[str, Any]) -> str:
    return file.get("sha256") or (f"md5 {file['md5']}" if "md5" in file else UNKNOWN)


def _expected_size(file: Mapping[str, Any]) -> str:
    return f", expected {file['bytes']:,}" if "bytes" in file else ""


def _reason(error: Exception) -> str:
    """A network error without the noise of its classes."""
    text = str(error)
    for sign, plain in (
        ("NameResolution", "the server's name is not known (no network?)"),
        ("Connection refused", "connection refused"),
        ("timed out", "no answer in time"),
        ("IncompleteRead", "the connection broke off"),
        ("Connection reset", "the connection broke off"),
        ("RemoteDisconnected", "the connection broke off"),
    ):
        if sign in text:
            return plain
    return text[:200]
