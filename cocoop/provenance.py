"""The origin of a result: code version, libraries, machine and device."""

import hashlib
import json
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from cocoop import __version__, kept, source_code
from cocoop.places import REPOSITORY, SHIPPED

NUMERIC = (
    "backbone", "text", "images", "training", "evaluation", "data/images.py", "data/ranges.py", "splits.py", "draws.py",
    "device.py", "metrics.py",
)  # fmt: skip
UNKNOWN = "unknown"
LIBRARIES = ("torch", "open_clip_torch", "torchvision", "numpy", "pillow", "safetensors", "snakemake")


@cache
def commit() -> str | None:
    """The repository's commit, followed by `+` if tracked files have changed; None outside a checkout.

    For a package that pip installed from a repository, the commit that it was built from.
    """
    if SHIPPED != REPOSITORY:  # git would find a repository around the environment
        return _built_from()
    git = ["git", "-C", str(REPOSITORY)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=20)
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _built_from() -> str | None:
    """The commit that pip noted when it installed the package from a repository (PEP 610)."""
    try:
        noted = json.loads(distribution("cocoop").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None
    return noted.get("vcs_info", {}).get("commit_id")


@cache
def code(*parts: str) -> str:
    """sha256 of the code in parts of this package, without comments, docstrings and layout.

    Parsing takes longer than a small stage computes, so Snakemake's folder, where there is one, keeps the digest by the bytes of
    the files.
    """
    places = [REPOSITORY / "cocoop" / part for part in parts]
    files = sorted(file for place in places for file in ([place] if place.suffix else place.rglob("*.py")))
    contents = {str(path.relative_to(REPOSITORY)): path.read_bytes() for path in files}
    how = Path(source_code.__file__).read_bytes()
    key = hashlib.sha256(repr((how, contents)).encode()).hexdigest()
    return kept.digest("code", key, lambda: source_code.digest(contents))


def numeric_code() -> str:
    """sha256 of the code that computes numbers for all methods. The code of each method is part of its runs."""
    return code(*NUMERIC)


def code_of(*inputs: Path | None) -> str:
    """`numeric_code()` for a result, followed by what its inputs say of theirs where they differ.

    inputs: safetensors files that the result is computed from, with the key `code` in their metadata.
    """
    from safetensors import safe_open

    found = {numeric_code()}
    for path in filter(None, inputs):
        with safe_open(path, "numpy") as file:
            found |= set(json.loads((file.metadata() or {}).get("code", f'"{UNKNOWN}"')).split())
    return " ".join(sorted(found))


def library_versions() -> dict[str, str]:
    """Installed versions of the libraries that can affect a number."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe(device: str = "cpu") -> dict[str, object]:
    """Versions, machine and device, to be stored next to a result. Uses torch only if it is already imported."""
    facts: dict[str, object] = {
        "cocoop": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        "libraries": library_versions(),
        **computed_on(device),
    }
    return facts | ({"driver": _driver()} if device.startswith("cuda") else {})


def computed_on(device: str = "cpu") -> dict[str, str | None]:
    """Processor or GPU, and torch version: they affect the last digits of a number. Uses torch only if it is already imported."""
    facts: dict[str, str | None] = {"machine": platform.machine(), "device": "cpu"}
    torch = sys.modules.get("torch")
    if torch is None:
        return facts
    if device.startswith("cuda"):
        return facts | {
            "device": torch.cuda.get_device_name(device),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
        }
    return facts | {"instructions": torch.backends.cpu.get_cpu_capability(), "torch": torch.__version__}


def _driver() -> str | None:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True, timeout=20).stdout.split("\n")[0]
    except (OSError, subprocess.SubprocessError):
        return None
