"""Parts of open_clip 4, which differ from those of open_clip 3: made here, as the two cannot be installed together."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cocoop.backbone import vision_reading
from cocoop.errors import UserError
from cocoop.text import literal
from cocoop.text.changes import LowRank, TextChanges
from cocoop.text.hooks import blocks_of
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tokenizer import byte_pair
from cocoop.text.tower import TextTower
from tests.reference import golden_model

NAMES = ["cat", "wild dog"]


class Attention(nn.Module):
    """open_clip 4 has an attention of its own in its blocks, with the names of torch's weights, and returns a tensor only."""

    def __init__(self, of: nn.MultiheadAttention) -> None:
        super().__init__()
        self.in_proj_weight, self.in_proj_bias, self.out_proj = of.in_proj_weight, of.in_proj_bias, of.out_proj
        self.num_heads, self.logit_scale, self.head_scale = of.num_heads, None, None
        self.ln_q = self.ln_k = self.ln_inner = nn.Identity()

    def forward(self, x, k_x=None, v_x=None, attn_mask=None):
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in qkv)
        return self.out_proj(F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask).transpose(1, 2).flatten(2))


class ResidualAttentionBlock(nn.Module):
    def __init__(self, of: nn.Module) -> None:
        super().__init__()
        self.attn = Attention(of.attn)
        self.ln_1, self.ls_1, self.ln_2, self.mlp, self.ls_2 = of.ln_1, of.ls_1, of.ln_2, of.mlp, of.ls_2

    def get_weight_dtype(self) -> torch.dtype:
        return self.mlp.c_fc.weight.dtype

    def forward(self, q_x, k_x=None, v_x=None, attn_mask=None):
        x = q_x + self.ls_1(self.attn(self.ln_1(q_x), k_x=k_x, v_x=v_x, attn_mask=attn_mask))
        return x + self.ls_2(self.mlp(self.ln_2(x)))


class ModernTextTransformer(nn.Module):
    """The new text tower of open_clip 4: no positions, no mask and no `transformer`, and blocks that are its own."""

    def __init__(self, width: int = 16, vocabulary: int = 49408, context_length: int = 77) -> None:
        super().__init__()
        self.context_length, self.pool_type = context_length, "eos"
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.ln_final, self.text_projection = nn.LayerNorm(width), nn.Linear(width, width, bias=False)

    def forward(self, text):
        x = self.token_embedding(text)
        for block in self.blocks:
            x = x + block(x).cumsum(1)
        return self.text_projection(self.ln_final(x)[torch.arange(len(x)), text.argmax(1)])


class Modern(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.text, self.logit_scale = ModernTextTransformer(), nn.Parameter(torch.tensor(2.0))

    def encode_text(self, text):
        return self.text(text)


@pytest.fixture(scope="module")
def models():
    """The golden CLIP, and the same with the blocks of open_clip 4."""
    three = golden_model().eval().requires_grad_(False)
    four = copy.deepcopy(three)
    for tower in (four, four.visual):
        tower.transformer.resblocks = nn.ModuleList(map(ResidualAttentionBlock, tower.transformer.resblocks))
        if hasattr(tower.transformer, "batch_first"):
            del tower.transformer.batch_first
        tower.transformer.forward = lambda x, attn_mask=None, blocks=tower.transformer.resblocks: _through(
            blocks, x, attn_mask
        )
    return three, four


def _through(blocks, x, attn_mask):
    for block in blocks:
        x = block(x, attn_mask=attn_mask)
    return x


def test_its_blocks_take_the_fast_path_with_the_same_features(models):
    three, four = models
    ids = byte_pair().sot, byte_pair().eot
    with torch.no_grad():
        found = []
        for model in (three, four):
            assert literal.why_literal(model) is None
            side = TextEncoder.fast(TextTower.from_open_clip(model, *ids).in_precision("fp32"))
            found.append(side.encoder(side.templated(NAMES, "a photo of a {}."))(torch.zeros(1, 0, side.width)))
    assert torch.equal(*found)


def test_changes_of_its_layers_give_the_same_features(models):
    """Low-rank terms in attention, which torch's attention returns in a tuple and open_clip 4's does not."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for model in models:
        side = TextEncoder.literal(model)
        generator.manual_seed(0)
        drawn = [torch.randn(1, *shape, generator=generator) for shape in ((2, side.width), (side.width, 2))]
        terms = {name: LowRank(*drawn, 0.1) for name in "qvo"}
        with torch.no_grad():
            changes = TextChanges(low_rank={0: terms})
            found.append(side.encoder(side.templated(NAMES, "a {}."))(torch.zeros(1, 0, side.width), changes))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_its_image_tower_can_be_changed(models):
    assert [vision_reading.why_fixed(model) for model in models] == [None, None]


def test_its_new_text_tower_takes_the_literal_path():
    model = Modern().eval().requires_grad_(False)
    assert literal.why_literal(model) == "its text tower is a ModernTextTransformer, not a CLIP transformer"
    assert literal.layers_of(model) == 2
    side = TextEncoder.literal(model)
    texts = [f"a photo of a {name}." for name in NAMES]
    tokens = torch.zeros(len(texts), 77, dtype=torch.long)
    for row, text in zip(tokens, texts, strict=True):
        ids = byte_pair().whole(text)
        row[: len(ids)] = torch.tensor(ids)
    with torch.no_grad():
        found = side.encoder(side.templated(NAMES, "a photo of a {}."))(torch.zeros(1, 0, side.width))[0]
        torch.testing.assert_close(found, model.encode_text(tokens))
    with pytest.raises(UserError, match="those of a ModernTextTransformer cannot be changed"):
        blocks_of(model.text)


def test_norms_inside_attention_are_not_taken_for_plain(models):
    odd = copy.deepcopy(models[1])
    odd.transformer.resblocks[0].attn.ln_q = nn.LayerNorm(4)
    assert literal.why_literal(odd) == "its layers are ResidualAttentionBlocks with additional scales or norms"
