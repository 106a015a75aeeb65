"""Every file of config/backbones: its model, weights and tokenizer are known to open_clip, and its model can be built."""

import open_clip
import pytest
import torch

from cocoop import io
from cocoop.backbone import architecture, vision_reading
from cocoop.backbone.model import quiet
from cocoop.cli import main
from cocoop.config import Registry, architectures
from cocoop.config.openclip import HUB

NAMES = Registry().names("backbones")
SPECS = {name: Registry().backbone(name, "test") for name in NAMES}
BUILT_IN = [name for name, spec in SPECS.items() if not spec.model.endswith(".json") and not spec.model.startswith(HUB)]
EXPECTED = {"vit_b32", "vit_b16", "vit_l14", "vit_l14_336", "rn50", "rn101", "laion2b_vit_b16", "laion2b_vit_h14",
            "datacomp_vit_b16", "dfn_vit_b16", "metaclip_vit_b16", "eva02_b16", "siglip2_b16", "pe_core_b16"}  # fmt: skip
PLAIN = {name for name in EXPECTED if "vit_" in name}  # methods can change their image towers


def test_the_backbones_that_people_use_are_there():
    assert set(NAMES) >= EXPECTED | {"tiny", "tiny_vit", "mobileclip2_s2", "bioclip2", "biomedclip"}


@pytest.mark.parametrize("name", BUILT_IN)
def test_open_clip_knows_the_weights_and_their_activation(name):
    """Also whether they were trained with QuickGELU: with the wrong activation, only the accuracy would tell."""
    spec = SPECS[name]
    facts = open_clip.get_pretrained_cfg(spec.model, spec.pretrained)
    assert facts and (facts.get("hf_hub") or facts.get("url"))
    assert bool(facts.get("quick_gelu")) == bool(open_clip.get_model_config(spec.model).get("quick_gelu"))
    assert spec.precision == "auto"


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_model_can_be_built_and_says_what_methods_can_do(name):
    """On torch's meta device, where a model has shapes but takes no memory."""
    with quiet(), torch.device("meta"):
        model = open_clip.create_model(SPECS[name].model, pretrained_text=False, device="meta")
    assert model.visual is not None and architectures.is_resnet(SPECS[name]) == (name in ("rn50", "rn101"))
    assert (vision_reading.why_fixed(model) is None) == (name in PLAIN)
    assert architecture.register(SPECS[name]) == SPECS[name].model


@pytest.mark.parametrize("name", BUILT_IN)
def test_published_accuracies_are_plausible_and_have_a_source(name):
    accuracy, source = SPECS[name].imagenet_zero_shot
    assert 55 < accuracy < 90 and len(source) > 10
    assert (io.REPOSITORY / f"config/backbones/{name}.yaml").read_text().startswith("#")


def test_the_list_names_every_backbone_with_its_accuracy(capsys):
    assert main(["backbone", "list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()[2:]}
    assert list(lines) == NAMES
    for name, spec in SPECS.items():
        assert spec.model in lines[name] and spec.label in lines[name]
        if spec.imagenet_zero_shot:
            assert f"{spec.imagenet_zero_shot[0]:.2f}" in lines[name]
