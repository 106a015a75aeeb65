"""Malicious files where a stage reads weights or results, given through the stage itself: nothing runs, one line."""

import io as bytes_io
import pickle
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from cocoop import io
from tests.faults import processes
from tests.faults.test_foreign import Evil, poisons


class Program(torch.nn.Module):
    """Becomes a TorchScript archive: a program, whatever it does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


def containers(canary: Path) -> dict[str, bytes]:
    """Every container that some reader of torch opens, with a payload that writes the canary."""
    evil = pickle.dumps(Evil(canary))
    script, zipped, tarred = bytes_io.BytesIO(), bytes_io.BytesIO(), bytes_io.BytesIO()
    torch.jit.save(torch.jit.script(Program()), script)
    with zipfile.ZipFile(zipped, "w") as archive:
        for name, content in {"data.pkl": evil, "version": b"3\n", "byteorder": b"little"}.items():
            archive.writestr(f"archive/{name}", content)
    with tarfile.open(fileobj=tarred, mode="w") as archive:  # torch before 0.1.10
        for name in ("sys_info", "pickle", "storages", "tensors"):
            info = tarfile.TarInfo(name)
            info.size = len(evil)
            archive.addfile(info, bytes_io.BytesIO(evil))
    payloads = zipfile.ZipFile(bytes_io.BytesIO(script.getvalue()))
    poisoned = bytes_io.BytesIO()
    with zipfile.ZipFile(poisoned, "w") as archive:
        for name in payloads.namelist():
            archive.writestr(name, evil if name.endswith(".pkl") else payloads.read(name))
    return {
        **poisons(canary), "TorchScript": script.getvalue(), "TorchScript with a pickle": poisoned.getvalue(),
        "zip with a pickle": zipped.getvalue(), "tar": tarred.getvalue(),
    }  # fmt: skip


KINDS = ("zip", "legacy", "plain pickle", "TorchScript", "TorchScript with a pickle", "zip with a pickle", "tar")


def test_every_pickle_would_run(tmp_path):
    """Else the tests below would prove nothing: an unpickler writes the canary from each container that holds one."""
    for kind, content in containers(tmp_path / "canary").items():
        path = tmp_path / "x.pt"
        path.write_bytes(content)
        if kind in ("zip", "legacy", "plain pickle", "zip with a pickle"):
            with suppress(Exception):  # what is loaded is no checkpoint
                torch.load(path, weights_only=False)
            assert (tmp_path / "canary").exists(), kind
            (tmp_path / "canary").unlink()


@pytest.mark.parametrize("stage", ["text-tower", "features"])
@pytest.mark.parametrize("suffix", [".pt", ".bin", ".safetensors"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_malicious_backbone(kind, suffix, stage, world, made, tmp_path, figures):
    """Where open_clip is asked to read: `load_state_dict` and `load_checkpoint`, with weights_only unless OpenAI's own."""
    canary, weights = tmp_path / "canary", tmp_path / f"weights{suffix}"
    weights.write_bytes(containers(canary)[kind])
    backbone = {**world.backbone.settings, "pretrained": str(weights)}
    content = io.canonical_json(backbone)
    refused(world.arguments(stage, tmp_path, made), "--backbone", content, weights, canary, tmp_path)
    figures.add("malicious pickles", "refused, not run")


READ = {
    "evaluate --learned": "learned", "evaluate --features": "features", "evaluate --text-tower": "text_tower",
    "train --views": "views", "train --text-tower": "text_tower",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", READ)
def test_a_malicious_result(where, kind, world, made, tmp_path, figures):
    canary, file = tmp_path / "canary", tmp_path / f"{READ[where]}.safetensors"
    file.write_bytes(containers(canary)[kind])
    stage, option = where.split()
    refused(world.arguments(stage, tmp_path, made), option, str(file), file, canary, tmp_path)
    figures.add("malicious pickles", "refused, not run")


def refused(arguments: list[str], option: str, value: str, named: Path, canary: Path, folder: Path) -> None:
    arguments[arguments.index(option) + 1] = value
    ended = processes.run(arguments, folder / "log")
    assert not canary.exists(), "it was run"
    assert ended.code == 2 and "Traceback" not in ended.text, ended.text
    line = ended.text.strip().splitlines()[-1]
    assert line.startswith("error: ") and str(named) in line, line


@pytest.mark.parametrize("kind", KINDS)
def test_a_malicious_checkpoint(kind, world, made, tmp_path, figures):
    """No checkpoint of ours: the training says so or begins anew, and ends with the bytes it would have had."""
    canary, file = tmp_path / "canary", tmp_path / "run/checkpoint.safetensors"
    file.parent.mkdir()
    file.write_bytes(containers(canary)[kind])
    ended = processes.run(world.arguments("train", tmp_path, made), tmp_path / "log")
    assert not canary.exists() and "Traceback" not in ended.text, ended.text
    learned = tmp_path / "run/learned.safetensors"
    assert ended.code == 2 or learned.read_bytes() == (made / "run/learned.safetensors").read_bytes(), ended.text
    figures.add("malicious pickles", "refused, not run")
