"""Counts the floating-point operations that a job cannot do without, from the configs of its backbone's towers.

A product of (a, b) and (b, c) has 2abc operations. Norms, activations and, in the text tower, attention and the projections of
the context are not counted: 1 % with ViT-B/16, 4 % with the bundled model (tests/planning/test_operations.py).
cocoop/bench/operations.py counts all of them, but needs the packed prompts.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

STEM = 4  # a ResNet's stem reduces the size of an image by this factor, each later stage by 2
EXPANSION = 4  # of the channels within a bottleneck


class TextTower(NamedTuple):
    """A text tower.

    Attributes:
        width: D.
        layers: number of layers.
        embed_dim: E.
        literal: whether it computes all tokens of every prompt (cocoop/text/literal.py).
    """

    width: int
    layers: int
    embed_dim: int
    literal: bool

    def operations(self, tokens: int, prompts: int) -> int:
        """Operations of a forward pass.

        On the fast path, a token passes through all layers but the last, where only the end of each prompt is queried; in the
        first, the projections of class names are constants.
        """
        square = self.width**2
        if self.literal:
            return 2 * (12 * self.layers * square * tokens + self.width * self.embed_dim * prompts)
        of_token = (9 + 12 * (self.layers - 2) + 2) * square
        return 2 * (of_token * tokens + (10 * square + self.width * self.embed_dim) * prompts)


def text_tower(config: Mapping[str, Any], literal: bool) -> TextTower | None:
    """The text tower of an open_clip config; None if the config does not say its dimensions."""
    text = config.get("text_cfg", {})
    width, layers, embed_dim = text.get("width"), text.get("layers"), config.get("embed_dim")
    if not (isinstance(width, int) and isinstance(layers, int) and isinstance(embed_dim, int)):
        return None
    return TextTower(width, layers, embed_dim, literal)


def of_image(config: Mapping[str, Any]) -> int | None:
    """Operations of a forward pass of one image; None unless the image tower is CLIP's vision transformer or ResNet."""
    vision, embed_dim = config.get("vision_cfg", {}), config.get("embed_dim")
    size, width, layers, patch = (vision.get(name) for name in ("image_size", "width", "layers", "patch_size"))
    if not (isinstance(size, int) and isinstance(width, int) and isinstance(embed_dim, int)):
        return None
    if isinstance(layers, list):
        return _resnet(size, width, layers, embed_dim)
    return _transformer(size, patch, width, layers, embed_dim) if isinstance(patch, int) and layers else None


def _transformer(size: int, patch: int, width: int, layers: int, embed_dim: int) -> int:
    patches = (size // patch) ** 2
    tokens = patches + 1
    a_layer = tokens * 12 * width**2 + 2 * width * tokens**2
    return 2 * (patches * 3 * patch**2 * width + layers * a_layer + width * embed_dim)


def _resnet(size: int, width: int, layers: Sequence[int], embed_dim: int) -> int:
    half, products = width // 2, 0
    products += (size // 2) ** 2 * 9 * (3 * half + half * half + half * width)
    side, channels = size // STEM, width
    for stage, blocks in enumerate(layers):
        inner = width * 2**stage
        outer = EXPANSION * inner
        for block in range(blocks):
            before = side
            side //= 2 if stage and not block else 1
            products += before**2 * (channels * inner + 9 * inner * inner) + side**2 * inner * outer
            products += side**2 * channels * outer if not block else 0
            channels = outer
    places = side**2 + 1  # of the attention pool, which queries one of them
    products += places * 2 * channels**2 + channels**2 + 2 * places * channels + channels * embed_dim
    return 2 * products
