"""The operations that plan counts from configs, against torch's counter and the count of the packed prompts."""

import open_clip
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from cocoop.bench import sides
from cocoop.bench.cases import Case
from cocoop.bench.models import Texts
from cocoop.config import architectures
from cocoop.config.specs import BackboneSpec
from cocoop.planning.cost import operations

TINY = "cocoop/assets/{name}/{name}.json"


@pytest.mark.parametrize(
    ("model", "more"),  # open_clip's ResNets query all places in the attention pool, of which only one is needed
    [(TINY.format(name="tiny_clip_vit"), 1), ("ViT-B-32", 1), (TINY.format(name="tiny_clip"), 1.08), ("RN50", 1.06)],
)
def test_operations_of_an_image(model, more):
    config = architectures.config(BackboneSpec("any", model, None))
    vision, size = config["vision_cfg"], config["vision_cfg"]["image_size"]
    text = {"width": 64, "heads": 2, "layers": 1}
    with torch.device("meta"):
        clip = open_clip.CLIP(config["embed_dim"], vision, text).eval()
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            clip.encode_image(torch.empty(1, 3, size, size))
    ours = operations.of_image(config)
    assert ours <= counter.get_total_flops() <= more * ours


@pytest.mark.parametrize("model", ["ViT-B-16-SigLIP", "convnext_base"])
def test_image_towers_that_are_not_clips_are_not_counted(model):
    config = architectures.config(BackboneSpec("any", model, None))
    assert operations.of_image(config) is None
    assert operations.of_image({}) is operations.text_tower({}, False) is None


@pytest.mark.parametrize(("width", "layers", "left_out"), [(512, 12, 0.01), (128, 3, 0.04)])
def test_operations_of_prompts(width, layers, left_out):
    texts = Texts("fp32", "cpu", {**sides.GEOMETRY, "width": width, "layers": layers, "heads": 2, "output_dim": width})
    for classes in (5, 50):
        tokens, exact = texts.counted(Case("cocoop", "evaluate", classes, 1))
        tower = operations.TextTower(width, layers, width, literal=False)
        assert (1 - left_out) * exact["fast"] <= tower.operations(tokens["fast"], classes) <= exact["fast"]
        whole = operations.TextTower(width, layers, width, literal=True).operations(tokens["literal"], classes)
        assert 0.9 * exact["literal"] <= whole <= exact["literal"]
