"""Changes of every kind for the small towers of `vision.py`, each for several seeds."""

import torch
from torch import Tensor

from cocoop.backbone.vision_changes import MATRICES, ImageChanges, LowRank

SEEDS, IMAGES, LAYERS, WIDTH = 3, 2, 4, 32


def numbers(*shape: int, seed: int = 0, scale: float = 0.5) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def learned(*shape: int, seed: int = 0, scale: float = 0.5) -> Tensor:
    return numbers(*shape, seed=seed, scale=scale).requires_grad_()


class Adapter:
    """Width 32 to 4 and back, one for each seed, down (S, 1, 32, 4), up (S, 1, 4, 32)."""

    def __init__(self, down: Tensor, up: Tensor) -> None:
        self.down, self.up = down, up

    def of(self, seed: int) -> "Adapter":
        return Adapter(self.down[seed, None], self.up[seed, None])

    def __call__(self, normed: Tensor) -> Tensor:
        return 0.3 * (normed @ self.down).relu() @ self.up


class Mask:
    """Dropout by formula: a token's mask depends on seed, image and place, or on seed and image if there is one place."""

    def __init__(self, number: int, places: int, seeds: slice = slice(None)) -> None:
        self.number, self.places, self.seeds = number, places, seeds

    def of(self, seed: int) -> "Mask":
        return Mask(self.number, self.places, slice(seed, seed + 1))

    def __call__(self, x: Tensor) -> Tensor:
        kept = (numbers(SEEDS, IMAGES, self.places, x.shape[-1], seed=self.number) > -0.3).to(x.dtype)
        return x * kept[self.seeds, :, : x.shape[2]] / 0.75


def adapters(layers: list[int]) -> dict[int, Adapter]:
    return {
        layer: Adapter(learned(SEEDS, 1, WIDTH, 4, seed=layer), learned(SEEDS, 1, 4, WIDTH, seed=layer + 9))
        for layer in layers
    }


def tokens(layers: dict[int, int], seeds: int = SEEDS, seed: int = 0) -> dict[int, Tensor]:
    """Tokens for each layer, as many as the value says."""
    return {layer: learned(seeds, count, WIDTH, seed=seed + layer) for layer, count in layers.items()}


def low_rank(keys: list[tuple[int, str]], masks: int = 0) -> dict[tuple[int, str], LowRank]:
    """masks: for how many places of a sequence dropout has masks of their own; 0 for no dropout."""
    found = {}
    for number, (layer, name) in enumerate(keys):
        inside, outside = (4 if name == which else 1 for which in ("proj", "fc"))
        down, up = (
            learned(SEEDS, 2, inside * WIDTH, seed=20 + number),
            learned(SEEDS, outside * WIDTH, 2, seed=50 + number),
        )
        found[layer, name] = LowRank(down, up, 0.7, Mask(number, masks) if masks else None)
    return found


CHANGES = {
    "VPT shallow": lambda: ImageChanges(tokens({0: 3})),
    "VPT deep": lambda: ImageChanges(tokens({0: 3, 1: 3, 2: 3, 3: 3})),
    "deep prompts that pass later layers": lambda: ImageChanges(tokens({0: 2, 1: 2})),
    "deep prompts of unlike number from layer 1": lambda: ImageChanges(tokens({1: 2, 3: 4})),
    "MMRL": lambda: ImageChanges(inserted=tokens({1: 3, 2: 3})),
    "MMRL up to the last layer": lambda: ImageChanges(inserted=tokens({2: 3, 3: 3})),
    "MMRL from the first layer": lambda: ImageChanges(inserted=tokens({0: 2})),
    "MMA": lambda: ImageChanges(adapters=adapters([1, 2, 3])),
    "MMA in the first layer": lambda: ImageChanges(adapters=adapters([0])),
    "CLIP-LoRA": lambda: ImageChanges(deltas=low_rank([(at, name) for at in range(LAYERS) for name in "qkv"])),
    "CLIP-LoRA with dropout": lambda: ImageChanges(deltas=low_rank([(0, "q"), (0, "v"), (2, "o"), (3, "q")], masks=40)),
    "all matrices": lambda: ImageChanges(deltas=low_rank([(at, name) for at in (1, 3) for name in MATRICES])),
    "everything": lambda: ImageChanges(
        tokens({0: 2, 2: 2}),
        tokens({1: 3, 3: 3}, seed=100),
        adapters([1, 3]),
        low_rank([(0, "k"), (1, "fc"), (3, "q"), (3, "proj")], masks=1),
    ),
}


def parameters(changes: ImageChanges) -> list[Tensor]:
    """All learned tensors of some changes, each (S, ...)."""
    found = [*changes.deep_prompts.values(), *changes.inserted.values()]
    found += [tensor for delta in changes.deltas.values() for tensor in (delta.down, delta.up)]
    return found + [tensor for adapter in changes.adapters.values() for tensor in (adapter.down, adapter.up)]


def alone(changes: ImageChanges, seed: int) -> ImageChanges:
    """The changes of one seed of several."""
    deltas = {
        key: LowRank(d.down[seed, None], d.up[seed, None], d.scale, d.dropout and d.dropout.of(seed))
        for key, d in changes.deltas.items()
    }
    return ImageChanges(
        {layer: of[seed, None] for layer, of in changes.deep_prompts.items()},
        {layer: of[seed, None] for layer, of in changes.inserted.items()},
        {layer: adapter.of(seed) for layer, adapter in changes.adapters.items()},
        deltas,
    )
