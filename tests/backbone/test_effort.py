"""The cost of an image encoder, against a count by hand."""

from cocoop.backbone import effort
from cocoop.backbone import model as backbone
from cocoop.config import Registry
from tests.images.pictures import load_golden


def test_a_vision_transformer_costs_what_its_matrices_cost(tmp_path):
    loaded = load_golden(tmp_path)
    visual = loaded.model.visual
    width, patch, layers = visual.conv1.out_channels, visual.conv1.kernel_size[0], len(visual.transformer.resblocks)
    patches = (loaded.image_size // patch) ** 2
    tokens = 1 + patches
    layer = 2 * tokens * width * 12 * width + 2 * 2 * tokens * tokens * width  # q, k, v, o and the MLP; then attention
    expected = 2 * patches * 3 * patch**2 * width + layers * layer + 2 * width * loaded.embed_dim
    found = effort.of_images(loaded)
    assert found["gflops"] == round(expected / 1e9, 3)
    assert found["parameters"] == sum(parameter.numel() for parameter in visual.parameters())
    assert not any(parameter.is_meta for parameter in visual.parameters())


def test_a_resnet_has_a_cost_too():
    found = effort.of_images(backbone.load(Registry().backbone("tiny", "test")))
    assert 0 < found["gflops"] < 1 and found["parameters"] > 100_000
