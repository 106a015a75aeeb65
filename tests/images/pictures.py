"""A golden backbone and a small dataset of pictures on disk, shared by the image-side tests."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from cocoop import splits
from cocoop.backbone import model as backbone
from cocoop.config.specs import BackboneSpec
from cocoop.errors import UserError
from cocoop.manifest import Item, Manifest
from tests.reference import golden_images, golden_model, model_config

CLASSNAMES = ("face", "leopard", "airplane", "ray")


def save_golden(folder: Path) -> BackboneSpec:
    """The golden CLIP as a JSON config and a checkpoint in `folder`."""
    (folder / "golden_clip.json").write_text(json.dumps(model_config()))
    save_file(golden_model().state_dict(), folder / "golden.safetensors")
    return BackboneSpec("golden", str(folder / "golden_clip.json"), str(folder / "golden.safetensors"))


def load_golden(folder: Path) -> backbone.Backbone:
    """The golden CLIP, loaded as a user's model would be."""
    return backbone.load(save_golden(folder))


def written(path: Path, content: object) -> str:
    """Saves a checkpoint as PyTorch does; its path, as `pretrained` of a backbone."""
    torch.save(content, path)
    return str(path)


def refusal(spec: BackboneSpec, **fields: str | None) -> str:
    """The one line with which a changed backbone is refused."""
    with pytest.raises(UserError) as error:
        backbone.load(replace(spec, **fields))
    assert "\n" not in str(error.value)
    return str(error.value)


def dataset(folder: Path) -> Manifest:
    """24 training and 18 test pictures of four classes, of six sizes."""
    pictures = golden_images()
    train = tuple(_item(folder, f"train/{i}.png", pictures[i % 6], i % 4) for i in range(24))
    test = tuple(_item(folder, f"test/{i}.png", pictures[i % 6], i % 4) for i in range(18))
    return Manifest("pictures", CLASSNAMES, {"train": train, "val": train[:8], "test": test})


def few_shot(folder: Path, manifest: Manifest, shots: int, seed: int) -> dict:
    """A selection as the workflow writes and reads it."""
    splits.save_few_shot(folder / f"{shots}-{seed}.json", manifest, shots, seed)
    return splits.load_few_shot(folder / f"{shots}-{seed}.json")


def _item(folder: Path, path: str, picture: Image.Image, label: int) -> Item:
    (folder / path).parent.mkdir(exist_ok=True)
    picture.save(folder / path)
    return Item(path, label)
