"""Local image features, beside what the authors' tower gives (plot.npz) and what open_clip's own attention pool computes."""

from dataclasses import replace

import open_clip
import pytest
import torch
from torch import nn

from cocoop.backbone import model as backbone
from cocoop.backbone.local import local_encoder
from cocoop.config import Registry
from cocoop.errors import UserError
from tests.images.pictures import load_golden
from tests.successors import array, pixels


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    return load_golden(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def resnet():
    return backbone.load(Registry().backbone("tiny", "test"))


def test_a_vision_transformer_gives_its_patches(golden):
    expected = array("plot", "o0_image_tokens").transpose(0, 1)  # (6, 1 + 16, E)
    torch.testing.assert_close(local_encoder(golden)(pixels()), expected, rtol=1e-3, atol=1e-4)


def test_a_resnet_gives_all_tokens_of_its_attention_pool(resnet, monkeypatch):
    seen, original = [], open_clip.modified_resnet.F.multi_head_attention_forward

    def noted(**options):
        seen.append(original(**options))
        return seen[-1]

    x = torch.randn(3, 3, resnet.image_size, resnet.image_size, generator=torch.Generator().manual_seed(0))
    found = local_encoder(resnet)(x)
    monkeypatch.setattr(open_clip.modified_resnet.F, "multi_head_attention_forward", noted)
    feature = resnet.encode_images(x)
    assert found.shape == (3, 1 + 4, resnet.embed_dim)
    torch.testing.assert_close(found, seen[0][0].transpose(0, 1).float(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[:, 0], feature, rtol=1e-4, atol=1e-5)


def test_another_image_tower_is_refused(golden):
    odd = nn.Module()
    odd.visual = nn.Flatten()
    with pytest.raises(UserError) as error:
        local_encoder(replace(golden, model=odd))
    assert str(error.value) == (
        "backbone 'golden': it has no local image features, because its image tower is a Flatten, not a vision transformer; "
        "use a vision transformer, such as ViT-B-16, or CLIP's ResNet, such as RN50."
    )
