"""Models of the Hugging Face hub in open_clip's format, as `hf-hub:ORGANIZATION/NAME`."""

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError

from cocoop import io
from cocoop.config.openclip import HUB
from cocoop.config.specs import BackboneSpec
from cocoop.errors import UserError

CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def is_hub(spec: BackboneSpec) -> bool:
    return spec.model.startswith(HUB)


@cache
def config(spec: BackboneSpec) -> Path:
    """The model config of a repository as a file that open_clip can add, named after the repository.

    Downloads open_clip's config into the hub's cache unless it is already there. Raises a UserError without it.
    """
    repository = spec.model.removeprefix(HUB)
    path = _snapshot(spec) / CONFIG
    try:
        content = json.loads(path.read_text(encoding="utf-8"))["model_cfg"]
    except FileNotFoundError as error:
        raise UserError(
            f"backbone {spec.name!r}: {spec.model} has no {CONFIG}, so it is not a model of open_clip; use another one."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: expected open_clip's config with `model_cfg` ({type(error).__name__}: {error})."
        ) from error
    out = Path(_own().name) / f"{repository.replace('/', '--')}.json"
    io.write_text(out, json.dumps(content))
    return out


@cache
def _own() -> TemporaryDirectory:
    """A folder for configs, which open_clip reads again whenever one is added; it goes with the process."""
    return TemporaryDirectory(prefix="cocoop-")


def weights(spec: BackboneSpec) -> Path:
    """The checkpoint of a repository, of the same commit as its config."""
    repository, commit = spec.model.removeprefix(HUB), _snapshot(spec).name
    for name in WEIGHTS:
        try:
            return Path(hf_hub_download(repository, name, revision=commit))
        except EntryNotFoundError as error:  # not in the repository or, offline, not in the cache
            last: Exception = error
        except Exception as error:
            raise _failed(spec, error) from error
    raise _failed(spec, last)


def origin(path: Path) -> str | None:
    """The repository and commit of a file in the hub's cache, as `ORGANIZATION/NAME@COMMIT`; None for other files."""
    commit = path.parent
    if commit.parent.name != "snapshots":
        return None
    return f"{commit.parents[1].name.removeprefix('models--').replace('--', '/')}@{commit.name}"


@cache
def _snapshot(spec: BackboneSpec) -> Path:
    """The folder of the revision in the hub's cache, whose name is the commit."""
    try:
        return Path(snapshot_download(spec.model.removeprefix(HUB), revision=spec.revision, allow_patterns=[CONFIG]))
    except Exception as error:  # the hub's client and its HTTP library raise different types
        raise _failed(spec, error) from error


def _failed(spec: BackboneSpec, error: Exception) -> UserError:
    repository, revision = spec.model.removeprefix(HUB), f" --revision {spec.revision}" if spec.revision else ""
    line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return UserError(
        f"backbone {spec.name!r}: cannot download {spec.model}{f' ({spec.revision})' if spec.revision else ''} ({line}). Without "
        f"internet, run `hf download {repository}{revision}` elsewhere, and copy its folder in ~/.cache/huggingface/hub here."
    )
