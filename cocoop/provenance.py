"""Where a result comes from: code version, libraries, machine and device."""

import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from cocoop import __version__
from cocoop.io import REPOSITORY
from cocoop.source_code import digest

NUMERIC = ("backbone", "text", "images", "training", "evaluation")
LIBRARIES = ("torch", "open_clip_torch", "torchvision", "numpy", "pillow", "safetensors", "snakemake")


@cache
def commit() -> str | None:
    """The repository's commit, with `+` behind it when files differ from it; None outside a checkout."""
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


@cache
def code(*parts: str) -> str:
    """sha256 over the code of parts of this package; comments, docstrings and layout do not count."""
    files = sorted(path for part in parts for path in (REPOSITORY / "cocoop" / part).rglob("*.py"))
    return digest(files, REPOSITORY)


def numeric_code() -> str:
    """sha256 over the code that every run shares and that computes numbers. A method's own code is part of its run."""
    return code(*NUMERIC)


def library_versions() -> dict[str, str]:
    """Installed versions of the libraries a number can depend on."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe(device: str = "cpu") -> dict[str, object]:
    """Versions, machine and device for the sidecar of a result. Asks torch only if it is already imported."""
    facts: dict[str, object] = {
        "cocoop": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        "libraries": library_versions(),
        **computed_on(device),
    }
    return facts | ({"driver": _driver()} if device.startswith("cuda") else {})


def computed_on(device: str = "cpu") -> dict[str, str | None]:
    """What the last digits of a number depend on beside its inputs: processor or GPU, and torch. Asks torch only if imported."""
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
