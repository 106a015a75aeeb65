"""Files that are either complete or absent: atomic writes, hashes, canonical JSON, checksummed JSON and tensors."""

import errno
import hashlib
import json
import operator
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from cocoop.errors import CannotWrite, UserError
from cocoop.places import REPOSITORY as REPOSITORY
from cocoop.yaml_loader import UniqueKeyLoader

if TYPE_CHECKING:
    import torch

CHECKSUM = "sha256"
IDENTITY_CHARACTERS = 10
NOT_VALID = "{path}: not a valid {kind} file (corrupt or from another program); delete it and run again."
NOTHING = "no partial file was left behind"


@contextmanager
def atomic_path(path: str | Path, needed: int = 0) -> Iterator[Path]:
    """Yields a temporary path next to `path`, which replaces `path` if the block succeeds and is deleted otherwise.

    needed: size of the file in bytes, for the message when the disk is full.
    """
    path = Path(path)
    with writing(path, needed):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:80]}.", suffix=".partial", dir=path.parent)
        os.close(handle)
        partial = Path(name)
        try:
            yield partial
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            partial.chmod(0o666 & ~_umask())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def writing(path: str | Path, needed: int = 0, left: str = NOTHING) -> Iterator[None]:
    """Turns an OSError in the block into a `CannotWrite` that names the path and the needed and free bytes.

    needed: bytes still to be written, 0 if unknown.
    left: what remains on the disk, for the message.
    """
    try:
        yield
    except OSError as error:
        raise cannot_write(Path(path), error, needed, left) from error


def cannot_write(path: Path, error: OSError, needed: int = 0, left: str = NOTHING) -> CannotWrite:
    """The `CannotWrite` for an OSError; see `writing`."""
    reason = error.strerror or str(error)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in reason
    need = f"{needed:,} bytes are needed, " if needed else ""
    room = f"; {need}{_free(path):,} bytes are free: make room and run again" if full else ""
    return CannotWrite(f"{path}: cannot be written ({reason}){room}; {left}.")


def write_text(path: str | Path, text: str) -> None:
    """Writes text as UTF-8, atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes a file, atomically."""
    with atomic_path(path, len(content)) as partial:
        partial.write_bytes(content)


def canonical_json(value: Any) -> str:
    """One line of JSON with sorted keys: equal values give equal text. Raises a ValueError for NaN and infinity."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON object with its own checksum under "sha256"."""
    body = {key: value for key, value in content.items() if key != CHECKSUM}
    write_text(
        path, json.dumps(body | {CHECKSUM: sha256_text(canonical_json(body))}, ensure_ascii=False, indent=1) + "\n"
    )


def read_json(path: str | Path, kind: str) -> dict[str, Any]:
    """Reads a file of `write_json`; a missing or corrupt file or one of another kind raises a UserError.

    kind: the value that the object's "kind" must have, for example "manifest".
    """
    text = _read(path, kind)
    try:
        body = json.loads(text)
        digest = body.pop(CHECKSUM)
        damaged = digest != sha256_text(canonical_json(body)) or body["kind"] != kind
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        damaged = True
    if damaged:
        raise UserError(NOT_VALID.format(path=path, kind=kind))
    return body


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Reads a YAML mapping safely; a repeated key or a syntax error raises a UserError with the line."""
    try:
        content = yaml.load(_read(path, "YAML"), Loader=UniqueKeyLoader)
    except yaml.YAMLError as error:
        line = getattr(error, "problem_mark", None)
        place = f", line {line.line + 1}" if line else ""
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UserError(f"{path}{place}: not valid YAML ({reason}).") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid YAML ({error}).") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a mapping of keys, got {type(content).__name__}.")
    return content


def sha256_text(text: str) -> str:
    """Hex sha256 of the UTF-8 text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def identity(*values: Any) -> str:
    """A short digest of JSON values, for paths: equal settings give equal paths, and different settings different paths."""
    return sha256_text(canonical_json(values))[:IDENTITY_CHARACTERS]


def sha256_file(path: str | Path) -> str:
    """Hex sha256 of a file's bytes, read in chunks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_tensors(path: str | Path, tensors: Mapping[str, "torch.Tensor"], metadata: Mapping[str, Any]) -> None:
    """Writes a safetensors file. Its metadata (any JSON values) includes a checksum of the metadata and all tensors."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = {key: canonical_json(value) for key, value in metadata.items()}
    with atomic_path(path, sum(tensor.nbytes for tensor in tensors.values())) as partial:
        try:
            save_file(tensors, partial, text | {CHECKSUM: _tensor_digest(tensors, text)})
        except SafetensorError as error:  # its text includes the message of the operating system
            raise OSError(str(error)) from error
        _sort_metadata(partial)


def read_tensors(path: str | Path, kind: str) -> tuple[dict[str, "torch.Tensor"], dict[str, Any]]:
    """Tensors and metadata of a file of `write_tensors`; any other file and any flipped bit raises a UserError."""
    return _read_safetensors(path, kind, "pt")


def read_arrays(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same as `read_tensors`, but as numpy arrays without torch, for tables and figures; numpy has no bf16."""
    return _read_safetensors(path, kind, "np")


def _read_safetensors(path: str | Path, kind: str, framework: str) -> tuple[dict[str, Any], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    copy = operator.methodcaller("clone" if framework == "pt" else "copy")
    arrays: dict[str, Any] = {}
    try:
        with safe_open(path, framework) as file:
            text = dict(file.metadata() or {})
            # Copies, because a tensor's place in the file depends on the metadata, and the last digits of products on its place.
            arrays = {name: copy(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 (not a dict)
        digest = text.pop(CHECKSUM, "")
        metadata = {key: json.loads(value) for key, value in text.items()}
        damaged = digest != _tensor_digest(arrays, text) or metadata.get("kind") != kind
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such {kind} file.") from error
    except (SafetensorError, OSError, ValueError, TypeError, RecursionError):
        damaged = True
    if damaged:
        raise UserError(NOT_VALID.format(path=path, kind=kind))
    return arrays, metadata


def _sort_metadata(path: Path) -> None:
    # The order in which safetensors writes metadata differs between processes, but equal content must give equal bytes.
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        file.seek(8)
        file.write(json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(size))


def _tensor_digest(tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> str:
    """sha256 of the canonical metadata and of the name, torch dtype, shape and bytes of each tensor or array."""
    digest = hashlib.sha256(canonical_json(dict(metadata)).encode("utf-8", "surrogatepass"))
    for name in sorted(tensors):
        tensor = tensors[name]
        kind = f"torch.{str(tensor.dtype).removeprefix('torch.')}"
        digest.update(f"{name} {kind} {list(tensor.shape)}".encode("utf-8", "surrogatepass"))
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: Any) -> bytes | memoryview:
    if not hasattr(tensor, "data_ptr"):  # a numpy array
        return tensor.tobytes()
    import torch

    return memoryview(tensor.reshape(-1).view(torch.uint8).numpy()) if tensor.numel() else memoryview(b"")


def _read(path: str | Path, kind: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such {kind} file.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a valid {kind} file (not UTF-8 text).") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error


def _free(path: Path) -> int:
    return shutil.disk_usage(next(folder for folder in path.resolve().parents if folder.exists())).free


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
