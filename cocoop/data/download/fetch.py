"""Downloads a file from the first of its sources that provides it complete and unchanged.

It uses requests, because pooch cannot resume downloads, and gdown neither verifies files nor supports several sources.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocoop import progress
from cocoop.data.download.transfer import CHUNK, WEB_PAGES, Broken, Part, Refused, WebPage, transfer
from cocoop.errors import UserError

LARGE = 1 << 30  # bytes; hashing a larger file shows a progress bar
UNKNOWN = "unknown"


class SourceError(Exception):
    """The reason why a source did not provide the file."""


@dataclass(frozen=True)
class Fetched:
    """A complete file on disk. verified: whether it matches a published checksum."""

    path: Path
    url: str
    sha256: str
    bytes: int
    verified: bool


def fetch(file: Mapping[str, Any], folder: Path) -> Fetched:
    """Downloads a `file` entry of a dataset's YAML into `folder` (a scratch folder; the file is called *.part there).

    Raises a UserError with the problem of each source and both hashes. A wrong file is deleted. An interrupted download is kept
    if the server can resume it, and the next call resumes it.
    """
    failures = []
    for source in file["sources"]:
        digest = hashlib.sha256(source.encode()).hexdigest()[:8]
        part = Part(folder / f"{file['file']}.{digest}.part")
        try:
            return _from_source(file, source, part)
        except SourceError as error:
            failures.append(f"from {source}: {error}")
    raise UserError(f"{file['file']}: could not be downloaded; " + "; ".join(failures) + ".")


def _from_source(file: Mapping[str, Any], source: str, part: Part) -> Fetched:
    try:
        transfer(source, part, file["file"])
    except Refused as error:
        part.discard()
        raise SourceError(str(error)) from error
    except WebPage as page:
        part.discard()
        raise SourceError(_page(page.content, file, hashlib.sha256(page.content).hexdigest())) from page
    except Broken as broken:
        raise SourceError(_truncated(file, part, broken)) from broken
    sha256, md5 = _digests(part.path)
    size = part.size
    try:
        verified = _check(file, part.path, sha256, md5, size)
    except SourceError:
        part.discard()
        raise
    part.validator.unlink(missing_ok=True)
    return Fetched(part.path, source, sha256, size, verified)


def _check(file: Mapping[str, Any], path: Path, sha256: str, md5: str, size: int) -> bool:
    """Raises a SourceError unless it is the published file. One matching checksum suffices, as their publishers differ."""
    with path.open("rb") as content:
        start = content.read(64 * 1024)
    if re.match(rb"\s*(<!doctype html|<html)", start, re.IGNORECASE) and not file["file"].endswith(WEB_PAGES):
        raise SourceError(_page(start, file, sha256))
    if "sha256" in file or "md5" in file:
        if file.get("sha256") == sha256 or file.get("md5") == md5:
            return True
        got = f"sha256 {sha256}" if "sha256" in file else f"md5 {md5}"
        expected = file.get("sha256", file.get("md5"))
        raise SourceError(f"wrong checksum ({got}, expected {expected}; {_sizes(file, size)}); nothing was kept")
    if file.get("bytes", size) != size:
        raise SourceError(f"wrong size ({_sizes(file, size)}; sha256 {sha256}, expected {UNKNOWN}); nothing was kept")
    return False


def _page(content: bytes, file: Mapping[str, Any], sha256: str) -> str:
    title = re.search(rb"<title[^>]*>(.*?)</title>", content, re.IGNORECASE | re.DOTALL)
    said = f" ({' '.join(title[1].decode('utf-8', 'replace').split())[:80]!r})" if title else ""
    hashes = f"sha256 {sha256}, expected {_expected_hash(file)}"
    return f"an HTML page{said} instead of the file ({hashes}); nothing was kept"


def _truncated(file: Mapping[str, Any], part: Part, broken: Broken) -> str:
    size = part.size
    if not size:
        part.discard()
        return str(broken)
    sha256, _ = _digests(part.path)
    of = f" of {broken.total:,}" if broken.total else ""
    found = f"truncated after {size:,}{of} bytes (sha256 {sha256}, expected {_expected_hash(file)})"
    if part.can_continue:
        return f"{found}; kept as {part.path}, run again to resume"
    part.discard()
    return f"{found}; nothing was kept"


def _digests(path: Path) -> tuple[str, str]:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    size = path.stat().st_size
    with path.open("rb") as file, progress.bar(size, "checksum", "B", unit_scale=True, disable=size < LARGE) as shown:
        while piece := file.read(CHUNK):
            sha256.update(piece)
            md5.update(piece)
            shown.update(len(piece))
    return sha256.hexdigest(), md5.hexdigest()


def _expected_hash(file: Mapping[str, Any]) -> str:
    return file.get("sha256") or (f"md5 {file['md5']}" if "md5" in file else UNKNOWN)


def _sizes(file: Mapping[str, Any], size: int) -> str:
    return f"{size:,} bytes" + (f", expected {file['bytes']:,}" if "bytes" in file else "")
