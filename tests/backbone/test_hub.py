"""`hf-hub:` models, through the command line, from a hub on loopback with a tiny model."""

import json
import os
import subprocess
import sys

import pytest
import yaml
from safetensors.torch import save

from cocoop import io
from cocoop.config import Registry
from cocoop.errors import UserError
from cocoop.text.text_encoder import KIND
from tests.backbone.hub import Hub
from tests.images.pictures import load_golden
from tests.reference import golden_model, model_config

NAME = "someone/golden-clip"
PIXELS = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bilinear", "resize_mode": "squash"}
FIRST, SECOND = "1" * 40, "2" * 40


def files(scale: float) -> dict[str, bytes]:
    state = golden_model().state_dict()
    state["logit_scale"] = state["logit_scale"] * scale
    config = {"model_cfg": model_config(), "preprocess_cfg": {**PIXELS, "size": 32, "mode": "RGB", "fill_color": 0}}
    return {
        "open_clip_config.json": json.dumps(config).encode(),
        "open_clip_model.safetensors": save({name: tensor.contiguous() for name, tensor in state.items()}),
        "README.md": b"never asked for",
    }


@pytest.fixture(scope="module")
def hub():
    served = Hub(NAME, {"main": SECOND, "v1": FIRST}, {FIRST: files(1.0), SECOND: files(0.5)})
    yield served
    served.close()


def text_tower(folder, endpoint: str, cache: str = "cache", **changes: str) -> subprocess.CompletedProcess:
    settings = {"name": "mine", "model": f"hf-hub:{NAME}", "pretrained": None, "precision": "fp32", **changes}
    variables = {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(folder / cache), "COCOOP_DEVICE": "cpu"}
    return subprocess.run(
        [sys.executable, "-m", "cocoop", "text-tower", "--backbone", json.dumps(settings), "--out", str(folder / "tower")],
        env=os.environ | variables | {"HF_HUB_DISABLE_TELEMETRY": "1"}, cwd=io.REPOSITORY, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_a_model_of_the_hub_is_loaded_with_its_preprocessing_and_commit(hub, tmp_path):
    """The same tower as from local files; afterwards also without network; a revision gives the weights of its commit."""
    done = text_tower(tmp_path, hub.url)
    assert done.returncode == 0, done.stderr
    _, facts = io.read_tensors(tmp_path / "tower", KIND)
    assert facts["about"]["weights"] == f"{NAME}@{SECOND}"
    assert facts["about"]["image_encoder"]["parameters"] == sum(p.numel() for p in golden_model().visual.parameters())
    assert not any("README" in path for path in hub.asked)
    assert text_tower(tmp_path, "http://127.0.0.1:9").returncode == 0  # from the cache
    done = text_tower(tmp_path, hub.url, revision="v1")
    assert done.returncode == 0, done.stderr
    _, of_first = io.read_tensors(tmp_path / "tower", KIND)
    assert of_first["about"]["weights"] == f"{NAME}@{FIRST}"
    assert of_first["facts"]["scale"] == pytest.approx(load_golden(tmp_path).logit_scale)
    assert of_first["fingerprint"] != facts["fingerprint"]


@pytest.mark.slow
def test_without_network_or_repository_one_line_says_what_to_do(hub, tmp_path):
    for endpoint, changes, said in (
        ("http://127.0.0.1:9", {}, "cannot download hf-hub:someone/golden-clip ("),
        (hub.url, {"model": "hf-hub:someone/nothing"}, "cannot download hf-hub:someone/nothing ("),
    ):
        done = text_tower(tmp_path, endpoint, "empty", **changes)
        assert done.returncode == 2
        last = done.stderr.strip().splitlines()[-1]
        assert (
            last.startswith(f"error: backbone 'mine': {said}") and "Without internet, run `hf download someone/" in last
        )
        assert "Traceback" not in done.stderr and not (tmp_path / "tower").exists()


def written(folder, **content) -> Registry:
    (folder / "backbones").mkdir(exist_ok=True)
    (folder / "backbones/mine.yaml").write_text(yaml.safe_dump({"label": "Mine", **content}))
    return Registry(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": "hf-hub:nothing"}, "model: expected hf-hub:ORGANIZATION/NAME, got 'hf-hub:nothing'."),
        (
            {"model": "hf-hub:a/b", "pretrained": "openai"},
            "pretrained: the weights of hf-hub:a/b are in its repository; remove the key.",
        ),
        (
            {"model": "hf-hub:a/b", "preprocessing": "openai"},
            "preprocessing: hf-hub:a/b has no tags of open_clip; write mean, std, interpolation and resize_mode or remove the key.",
        ),
        (
            {"model": "ViT-B-32", "pretrained": "laion2b_e16", "revision": "main"},
            "revision: only a model that starts with hf-hub: has one; remove the key.",
        ),
        (
            {"model": "ViT-B-32"},
            "key 'pretrained' is missing; only a model that starts with hf-hub: has its weights in its repository.",
        ),
    ],
)
def test_wrong_files_of_models_of_the_hub_are_refused(content, message, tmp_path):
    with pytest.raises(UserError) as refused:
        written(tmp_path, **content).backbone("mine", "test")
    assert str(refused.value) == f"{tmp_path}/backbones/mine.yaml: {message}"


def test_a_revision_belongs_to_the_identity_of_results(tmp_path):
    plain = written(tmp_path, model="hf-hub:a/b").backbone("mine", "test").settings
    fixed = written(tmp_path, model="hf-hub:a/b", revision=FIRST).backbone("mine", "test").settings
    assert fixed == plain | {"revision": FIRST} and "revision" not in plain
