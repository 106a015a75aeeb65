"""Google Drive: the URL for a file id, which skips the page that asks for a confirmation of large files."""

from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urljoin

if TYPE_CHECKING:
    import requests

PREFIX = "gdrive:"
ADDRESS = "https://drive.usercontent.google.com/download"


def address(session: "requests.Session", file_id: str, timeout: tuple[float, float]) -> str:
    """The URL of the file's content; if Drive refuses (quota, login), the URL of the page with the reason."""
    url = f"{ADDRESS}?{urlencode({'id': file_id, 'export': 'download', 'confirm': 't'})}"
    with session.get(url, stream=True, timeout=timeout) as response:
        if not is_html(response):
            return url
        form = _Form()
        form.feed(response.text)
    return f"{urljoin(url, form.action)}?{urlencode(form.fields)}" if form.action else url


def is_html(response: "requests.Response") -> bool:
    """Whether a response is a web page according to its headers."""
    return response.headers.get("Content-Type", "").lower().startswith("text/html")


class _Form(HTMLParser):
    """Parses the confirmation form: its action and its hidden fields."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "form" and attributes.get("id") == "download-form":
            self.action = attributes.get("action") or ""
        elif tag == "input" and attributes.get("type") == "hidden" and attributes.get("name"):
            self.fields[str(attributes["name"])] = attributes.get("value") or ""
