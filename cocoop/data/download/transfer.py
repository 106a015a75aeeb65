"""An HTTP download into a partial file, which is retried and resumed, and only counts as complete if it is."""

import time
from dataclasses import dataclass
from pathlib import Path

import requests
from urllib3.exceptions import HTTPError

from cocoop import io, progress
from cocoop.data.download import drive
from cocoop.errors import CannotWrite

TIMEOUT_SECONDS = (20.0, 60.0)  # to connect, and between two chunks
TRIES_WITHOUT_PROGRESS = 4
PAUSE_SECONDS = 1.0  # doubles with each try
CHUNK = 1 << 20
RETRIED = frozenset((408, 425, 429, 500, 502, 503, 504))
WEB_PAGES = (".html", ".htm")


class Refused(Exception):
    """The server refused the request or cannot be reached."""


class WebPage(Exception):
    """The server returned a web page instead of the file."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content


class Broken(Exception):
    """The connection was lost and further tries made no progress. total: size of the file in bytes, if known."""

    def __init__(self, reason: str, total: int | None = None) -> None:
        super().__init__(reason)
        self.total = total


@dataclass(frozen=True)
class Part:
    """A partial download, with a validator that shows whether the file on the server is unchanged."""

    path: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def validator(self) -> Path:
        return self.path.with_name(f"{self.path.name}.validator")

    @property
    def can_continue(self) -> bool:
        return self.size > 0 and self.validator.exists()

    @property
    def left(self) -> str:
        """What remains if the disk is full, for the message."""
        return (
            "the partial download is kept and will be resumed"
            if self.validator.exists()
            else "no partial file was left behind"
        )

    def discard(self) -> None:
        """Deletes all its files."""
        self.path.unlink(missing_ok=True)
        self.validator.unlink(missing_ok=True)


def transfer(source: str, part: Part, name: str) -> None:
    """Downloads a URL or gdrive:ID into the part, and resumes it as long as tries make progress.

    name: title of the progress bar.
    Raises `Refused`, `WebPage`, `Broken` or, for the disk, `CannotWrite`.
    """
    with requests.Session() as session:
        session.headers["Accept-Encoding"] = "identity"  # a .tar.gz must not be decompressed
        tries = 0
        while True:
            before = part.size
            try:
                _one_try(session, _address(session, source), part, name)
                return
            except Broken:
                tries = 0 if part.size > before else tries + 1
                if tries >= TRIES_WITHOUT_PROGRESS or (part.size and not part.can_continue):
                    raise
            except (requests.ConnectionError, requests.Timeout) as error:
                tries += 1
                if tries >= TRIES_WITHOUT_PROGRESS:
                    raise Broken(_reason(error)) from error
            except (requests.RequestException, HTTPError) as error:
                raise Refused(_reason(error)) from error
            except CannotWrite:
                if not part.can_continue:
                    part.discard()
                raise
            time.sleep(PAUSE_SECONDS * 2**tries)


def _address(session: requests.Session, source: str) -> str:
    if source.startswith(drive.PREFIX):
        return drive.address(session, source.removeprefix(drive.PREFIX), TIMEOUT_SECONDS)
    return source


def _one_try(session: requests.Session, url: str, part: Part, name: str) -> None:
    headers, have = {}, part.size
    if part.can_continue:
        headers = {"Range": f"bytes={have}-", "If-Range": part.validator.read_text(encoding="utf-8")}
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
        told = response.headers.get("Content-Range", "")
        if response.status_code == 416 and told == f"bytes */{have}":
            return  # it was already complete
        if response.status_code == 416 or (response.status_code == 206 and not told.startswith(f"bytes {have}-")):
            part.discard()
            raise Broken("the server cannot resume the download")
        if response.status_code in RETRIED:
            raise Broken(f"HTTP {response.status_code} {response.reason}")
        if not response.ok:
            raise Refused(f"HTTP {response.status_code} {response.reason}")
        if drive.is_html(response) and not name.endswith(WEB_PAGES):
            raise WebPage(response.raw.read(10 * CHUNK))
        have = have if response.status_code == 206 else 0
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if length.isdigit() else None
        with io.writing(part.path, (total or 0) - have, part.left):
            _note_validator(response, part)
            part.path.open("ab" if have else "wb").close()
        with progress.bar(total, name, "B", initial=have, unit_scale=True, unit_divisor=1024) as shown:
            try:
                for piece in response.raw.stream(CHUNK, decode_content=False):
                    _append(piece, part, (total or 0) - part.size)
                    shown.update(len(piece))
            except HTTPError as error:
                raise Broken(_reason(error), total) from error


def _append(piece: bytes, part: Part, needed: int) -> None:
    """Appends a chunk. needed: remaining bytes, for the message if the disk is full."""
    with io.writing(part.path, max(0, needed), part.left), part.path.open("ab") as out:
        out.write(piece)


def _note_validator(response: requests.Response, part: Part) -> None:
    """Stores a strong ETag or a date, which determine whether a download may be resumed (RFC 9110, 13.1.5)."""
    etag = response.headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
    if validator and response.headers.get("Accept-Ranges") != "none":
        part.validator.write_text(validator, encoding="utf-8")
    else:
        part.validator.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    """The message of a network error without the names of exception classes."""
    text = str(error)
    for sign, plain in (
        ("NameResolution", "unknown server name (no network?)"),
        ("Connection refused", "connection refused"),
        ("timed out", "the server did not answer in time"),
        ("IncompleteRead", "the connection was lost"),
        ("Connection reset", "the connection was lost"),
        ("RemoteDisconnected", "the connection was lost"),
    ):
        if sign in text:
            return plain
    return text[:200]
