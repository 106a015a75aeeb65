"""Which image towers methods can change: timm's plain vision transformers work like open_clip's, all others are refused by name."""

import copy
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import open_clip
import pytest
import timm
import torch
from open_clip.model import _build_vision_tower
from open_clip.timm_model import TimmModel
from torch import nn

from cocoop.backbone import architecture, vision_reading
from cocoop.backbone import model as backbone
from cocoop.backbone.vision import ImageEncoder
from cocoop.backbone.vision_changes import MATRICES, ImageChanges
from cocoop.errors import UserError
from tests.backbone import vision
from tests.backbone.changes import IMAGES, SEEDS, alone, low_rank, numbers, tokens
from tests.backbone.test_vision import close, encoder
from tests.text import towers

SMALL = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 32, "num_heads": 4, "mlp_ratio": 4.0}
TIMM = {  # timm's name, its options, open_clip's pool and projection
    "class token": ("vit_large_patch14_clip_224", {}, "token", None),
    "mean": ("vit_large_patch14_clip_224", {}, "avg", "linear"),
    "scaled layers": ("vit_base_patch16_224", {"init_values": 0.3}, "token", None),
    "no projection": ("vit_base_patch16_224", {}, "token", "none"),
    "EVA": ("eva_giant_patch14_224", {}, "token", None),
    "scaled EVA": ("eva_giant_patch14_224", {"init_values": 0.3}, "token", None),
}
REFUSED = {  # of open_clip's architectures, how many for which reason
    "its image feature is pooled by attention": 33,
    "its image tower has no class token, or additional ones": 16,
    "its image tower is timm's ConvNeXt, not a plain vision transformer": 11,
    "its image tower is a ModifiedResNet, not a vision transformer": 10,
    "its image tower is timm's FastVit, not a plain vision transformer": 6,
    "it is a CoCa model, whose image tower also returns tokens for its decoder": 4,
    "its attention rotates queries and keys by the position of their patch": 3,
    "its layers are timm's EvaBlockPostNorms": 2,
    "its image tower is timm's SwinTransformer, not a plain vision transformer": 1,
    "its image tower is timm's VisionTransformerRelPos, not a plain vision transformer": 1,
}
ODD = {  # settings of a JSON config that no architecture of open_clip has
    "its layers are CustomResidualAttentionBlocks with additional norms or scales": {"scale_attn": True},
    "its image feature is pooled by 'none'": {"pool_type": "none"},
    "its image feature is pooled by attention": {"attentional_pool": True},
}


def timm_model(monkeypatch: pytest.MonkeyPatch, kind: str) -> nn.Module:
    """A small random tower of timm in open_clip's wrapper, in float64."""
    name, options, pool, projection = TIMM[kind]
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **asked: create(name, **asked, **SMALL, **options))
    torch.manual_seed(0)
    made = nn.Module()
    made.visual = TimmModel(name, 32 if projection == "none" else 16, pool=pool, proj=projection)
    return vision.shaken(made).double()


def pixels() -> torch.Tensor:
    return numbers(IMAGES, 3, 32, 32, seed=9, scale=1.0)


def merged(model: nn.Module, changes: ImageChanges) -> nn.Module:
    """The model with the low-rank additions of a single seed in its matrices."""
    made = copy.deepcopy(model)
    for (layer, name), delta in changes.deltas.items():
        block, addition = made.visual.trunk.blocks[layer], delta.scale * delta.up[0] @ delta.down[0]
        others = {"o": block.attn.proj, "fc": block.mlp.fc1, "proj": block.mlp.fc2}
        weight = others[name].weight if name in others else block.attn.qkv.weight.chunk(3)["qkv".index(name)]
        weight.data += addition.detach()
    return made


@pytest.mark.parametrize("kind", TIMM)
def test_timm_towers_give_the_same_features_as_timm(monkeypatch, kind):
    model = timm_model(monkeypatch, kind)
    assert vision_reading.why_fixed(model) is None
    close(encoder(model).encode(pixels()).features[0], model.visual(pixels()))


@pytest.mark.parametrize("kind", TIMM)
def test_low_rank_changes_of_timm_equal_merged_matrices(monkeypatch, kind):
    model = timm_model(monkeypatch, kind)
    changes = ImageChanges(deltas=low_rank([(layer, name) for layer in range(2) for name in MATRICES]))
    found = encoder(model).encode(pixels(), changes).features
    for seed in range(SEEDS):
        close(found[seed], merged(model, alone(changes, seed)).visual(pixels()))


@pytest.mark.parametrize("kind", TIMM)
def test_prompts_of_timm_equal_tokens_put_into_its_sequence(monkeypatch, kind):
    model, prompts, seen = timm_model(monkeypatch, kind), tokens({0: 2, 1: 2}, seeds=1), []
    trunk = model.visual.trunk
    trunk.norm_pre.register_forward_pre_hook(lambda _, x: torch.cat([x[0], prompts[0].expand(IMAGES, -1, -1)], 1))
    trunk.blocks[1].register_forward_pre_hook(
        lambda _, x: torch.cat([x[0][:, :-2], prompts[1].expand(IMAGES, -1, -1)], 1)
    )
    trunk.norm.register_forward_pre_hook(lambda _, x: seen.append(x[0]) or x[0][:, :-2])
    found = encoder(model).encode(pixels(), ImageChanges(prompts)).features[0]
    close(found, model.visual(pixels()))
    assert seen[0].shape[1] == 1 + 16 + 2


def reason(config: Mapping[str, Any]) -> str | None:
    """Why the image tower of a model config cannot be changed. Built without memory for its weights."""
    with torch.device("meta"):
        visual = _build_vision_tower(config["embed_dim"], dict(config["vision_cfg"]), config.get("quick_gelu", False))
    return vision_reading.why_fixed(SimpleNamespace(visual=visual))


@pytest.mark.slow
def test_architectures_are_supported_or_refused_with_reason():
    reasons, seen = [], {}
    for name in sorted(architecture.BUILT_IN):
        config = open_clip.get_model_config(name)
        key = json.dumps(config["vision_cfg"], sort_keys=True)
        seen[key] = seen[key] if key in seen else reason(config)
        reasons.append(seen[key])
    count = {why: reasons.count(why) for why in set(reasons)}
    assert count == REFUSED | {None: len(architecture.BUILT_IN) - sum(REFUSED.values())}


@pytest.mark.parametrize("why", ODD)
def test_settings_that_no_architecture_has_are_refused(why):
    assert reason({"embed_dim": 16, "vision_cfg": vision.GEOMETRY | ODD[why]}) == why


def test_a_backbone_that_cannot_change_is_named_with_the_reason(tmp_path):
    resnet = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}
    whole = backbone.load(towers.spec(tmp_path, "small_resnet", {}, vision_cfg=resnet))
    with pytest.raises(UserError) as refusal:
        ImageEncoder.of(whole)
    assert str(refusal.value) == (
        "backbone 'small_resnet': methods cannot change its image tower, because its image tower is a ModifiedResNet, not a vision "
        "transformer; use a vision transformer, such as ViT-B-16."
    )


@pytest.mark.parametrize("precision", backbone.PRECISIONS)
def test_a_backbone_encodes_as_it_does_unchanged(tmp_path, precision):
    whole = backbone.load(towers.spec(tmp_path, f"small_vit_{precision}", {}, precision))
    found = ImageEncoder.of(whole).encode(pixels().float()).features[0]
    expected = whole.encode_images(pixels().float())
    assert found.dtype == expected.dtype and found.shape == (IMAGES, ImageEncoder.of(whole).embed_dim)
    close(found, expected, {"fp32": 1e-5}.get(precision, 0.03))
