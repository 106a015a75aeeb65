"""Fetching one file from a real server: sources in order, resuming, checksums, pages, Google Drive."""

import hashlib
import random

import pytest

from cocoop.data.download.fetch import fetch
from cocoop.errors import UserError

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()
PAGE = b"<!DOCTYPE html><html><head><title>Sign in - The University</title></head></html>"


def entry(*sources, **keys):
    return {"file": "data.tar", "sources": list(sources), "sha256": SHA256, "bytes": len(CONTENT)} | keys


def left_over(server, name, folder, content, validator):
    """The file as an interrupted download leaves it: this content so far, of what the server called `validator`."""
    url = server.put(f"/fetch/{name}", CONTENT)
    part = fetch(entry(url), folder).path
    part.write_bytes(content)
    part.with_name(part.name + ".validator").write_text(validator)
    return url, part


def refused(file, folder):
    """The message of a fetch that fails and leaves nothing behind."""
    with pytest.raises(UserError) as error:
        fetch(file, folder)
    assert list(folder.iterdir()) == []
    return str(error.value)


def test_a_file_is_downloaded_completely(server, tmp_path, capsys):
    url = server.put("/fetch/plain", CONTENT)
    got = fetch(entry(url), tmp_path)
    assert (got.url, got.sha256, got.bytes, got.verified) == (url, SHA256, len(CONTENT), True)
    assert got.path.read_bytes() == CONTENT
    shown = capsys.readouterr().err.splitlines()[-1]
    assert shown.startswith("data.tar: 100%") and "293k/293k" in shown and shown.endswith("B/s]")


def test_md5_is_enough(server, tmp_path):
    file = {"file": "data.tar", "sources": [server.put("/fetch/md5", CONTENT)], "md5": MD5}
    assert fetch(file, tmp_path).verified


def test_without_a_published_checksum_the_hash_seen_is_given(server, tmp_path):
    got = fetch({"file": "data.tar", "sources": [server.put("/fetch/unknown", CONTENT)]}, tmp_path)
    assert (got.sha256, got.verified) == (SHA256, False)


def test_sources_are_tried_in_order(server, tmp_path):
    dead = server.put("/fetch/dead", CONTENT, "gone")
    html = server.put("/fetch/html-first", PAGE, "html")
    good = server.put("/fetch/good", CONTENT)
    assert fetch(entry(dead, html, good), tmp_path).url == good
    assert [path.name for path in tmp_path.iterdir()] == [fetch(entry(good), tmp_path).path.name]


def test_a_page_instead_of_the_file(server, tmp_path):
    url = server.put("/fetch/html", PAGE, "html")
    digest = hashlib.sha256(PAGE).hexdigest()
    assert refused(entry(url), tmp_path) == (
        f"data.tar: could not be downloaded; from {url}: an HTML page ('Sign in - The University') instead of the file"
        f" (sha256 {digest}, expected {SHA256}); nothing was kept."
    )


def test_a_page_that_calls_itself_a_file(server, tmp_path):
    url = server.put("/fetch/html-hidden", PAGE)
    file = {"file": "data.tar", "sources": [url]}  # no checksum that would tell
    assert f"from {url}: an HTML page ('Sign in - The University') instead of the file" in refused(file, tmp_path)


def test_wrong_checksum(server, tmp_path):
    url = server.put("/fetch/wrong", CONTENT[:-1] + b"x")
    digest = hashlib.sha256(CONTENT[:-1] + b"x").hexdigest()
    assert refused(entry(url), tmp_path) == (
        f"data.tar: could not be downloaded; from {url}: wrong checksum (sha256 {digest}, expected {SHA256};"
        " 300,000 bytes, expected 300,000); nothing was kept."
    )
    md5 = hashlib.md5(CONTENT[:-1] + b"x").hexdigest()
    assert f"md5 {md5}, expected {MD5}" in refused({"file": "data.tar", "sources": [url], "md5": MD5}, tmp_path)


def test_wrong_size_where_no_checksum_is_known(server, tmp_path):
    file = {"file": "data.tar", "sources": [server.put("/fetch/size", CONTENT)], "bytes": 5}
    assert "wrong size (300,000 bytes, expected 5" in refused(file, tmp_path)


def test_truncated(server, tmp_path):
    url = server.put("/fetch/cut", CONTENT, "truncate")
    digest = hashlib.sha256(CONTENT[:150_000]).hexdigest()
    assert refused(entry(url), tmp_path) == (
        f"data.tar: could not be downloaded; from {url}: truncated after 150,000 of 300,000 bytes"
        f" (sha256 {digest}, expected {SHA256}); nothing was kept."
    )


def test_a_broken_connection_is_continued(server, tmp_path):
    url = server.put("/fetch/breaks", CONTENT, "break:70000")
    assert fetch(entry(url), tmp_path).path.read_bytes() == CONTENT
    ranges = [wanted for path, wanted in server.log if path == "/fetch/breaks"]
    assert ranges == [None, "bytes=70000-", "bytes=140000-", "bytes=210000-", "bytes=280000-"]


def test_the_next_call_resumes_an_interrupted_download(server, tmp_path):
    url, _ = left_over(server, "stalls", tmp_path, CONTENT[:100_000], '"one"')
    server.ways["/fetch/stalls"] = "break:0"
    with pytest.raises(
        UserError, match=r"truncated after 100,000 of 300,000 bytes .*; kept as .*, run again to resume"
    ):
        fetch(entry(url), tmp_path)
    del server.ways["/fetch/stalls"]
    assert fetch(entry(url), tmp_path).path.read_bytes() == CONTENT
    assert server.log[-1] == ("/fetch/stalls", "bytes=100000-")


def test_a_complete_part_is_not_downloaded_again(server, tmp_path):
    # as after a kill before the file was put in place
    url, part = left_over(server, "whole", tmp_path, CONTENT, '"one"')
    fetch(entry(url), tmp_path)
    assert server.log[-1] == ("/fetch/whole", "bytes=300000-") and part.read_bytes() == CONTENT


def test_a_part_longer_than_the_file_restarts_the_download(server, tmp_path):
    url, _ = left_over(server, "longer", tmp_path, CONTENT + b"more", '"one"')
    assert fetch(entry(url), tmp_path).path.read_bytes() == CONTENT


def test_a_file_changed_on_the_server_restarts_the_download(server, tmp_path):
    url, _ = left_over(server, "changed", tmp_path, b"old" * 1000, '"another"')
    assert fetch(entry(url), tmp_path).path.read_bytes() == CONTENT


def test_a_server_that_continues_elsewhere_is_not_believed(server, tmp_path):
    url, _ = left_over(server, "elsewhere", tmp_path, CONTENT[:1000], '"one"')
    server.ways["/fetch/elsewhere"] = "other-range"
    assert fetch(entry(url), tmp_path).path.read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(server, tmp_path):
    url = server.put("/fetch/busy", CONTENT, "slow-start")
    assert fetch(entry(url), tmp_path).verified


def test_no_server_and_no_file(server, tmp_path):
    gone = server.put("/fetch/404", b"", "gone")
    message = refused(entry("http://127.0.0.1:9/data.tar", gone), tmp_path)
    assert message == (
        f"data.tar: could not be downloaded; from http://127.0.0.1:9/data.tar: connection refused; from {gone}: HTTP 404 Not Found."
    )


def test_google_drive_small_file(server, tmp_path):
    server.drive["small"] = CONTENT
    got = fetch(entry("gdrive:small"), tmp_path)
    assert (got.url, got.verified) == ("gdrive:small", True)


def test_google_drive_large_file_is_confirmed(server, tmp_path):
    server.drive["large"] = CONTENT
    server.drive_pages["large"] = (
        b'<html><head><title>Google Drive - Virus scan warning</title></head><body><form id="download-form"'
        b' action="/drive" method="get"><input type="hidden" name="id" value="large">'
        b'<input type="hidden" name="confirm" value="t"><input type="hidden" name="uuid" value="token-1"></form></body></html>'
    )
    assert fetch(entry("gdrive:large"), tmp_path).path.read_bytes() == CONTENT


def test_google_drive_quota(server, tmp_path):
    server.drive_pages["full"] = b"<html><head><title>Google Drive - Quota exceeded</title></head></html>"
    message = refused(entry("gdrive:full"), tmp_path)
    assert "from gdrive:full: an HTML page ('Google Drive - Quota exceeded') instead of the file" in message
