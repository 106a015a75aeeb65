"""States of the image tower's frozen layers, computed once per view for a method that leaves these layers as they are."""

import logging
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from cocoop.backbone.vision import ImageEncoder, States
from cocoop.images.live import Live

logger = logging.getLogger(__name__)
AT_ONCE = (
    64  # images; their groups do not depend on the order of an epoch, so that a continued training sees the same states
)


class CachedStates:
    """States before a layer, (S, V, N, 1 + P, D), in the CPU's memory; epoch e sees view e mod V."""

    def __init__(self, layer: int, states: Tensor) -> None:
        self.layer, self.states, self.images = layer, states, states.shape[2]
        self.rows = torch.arange(len(states))[:, None]

    def batches(self, epoch: int, visit: Tensor, size: int, steps: int) -> Iterator[States]:
        """States (S, B, 1 + P, D) of each step."""
        view, visit = self.states[:, epoch % self.states.shape[1]], visit.cpu()
        for step in range(steps):
            yield States(self.layer, view[self.rows, visit[:, step * size : (step + 1) * size]])

    def of_seed(self, index: int) -> "CachedStates":
        """The states of one seed."""
        return CachedStates(self.layer, self.states[index : index + 1])


def cached(live: Live, encoder: ImageEncoder, layer: int, epochs: int, budget_mb: int) -> Live | CachedStates:
    """The states before a layer for all epochs, or the images themselves if that saves nothing or exceeds the budget."""
    views, seeds = max(1, live.number), len(live.selected)
    if not layer or epochs <= views:
        return live
    first = _computed(live, encoder, layer, 0, 1)
    size = views * seeds * live.images * first[0, 0].nbytes
    if size > budget_mb * 2**20:
        logger.info("image_states_mb: %d MB are not enough for %.0f MB of states", budget_mb, size / 2**20)
        return live
    logger.info("keeping states before layer %d of the image tower: %.0f MB", layer, size / 2**20)
    found = first.new_empty(seeds, views, live.images, *first.shape[2:])
    for view in range(views):
        found[:, view] = _computed(live, encoder, layer, view, live.images)
    return CachedStates(layer, found)


@torch.no_grad()
def _computed(live: Live, encoder: ImageEncoder, layer: int, view: int, images: int) -> Tensor:
    """States (S, N, 1 + P, D) of the first images in one view."""
    size = max(1, min(images, AT_ONCE // len(live.selected)))
    visit = torch.arange(images).expand(len(live.selected), -1)
    batches = live.batches(view, visit, size, math.ceil(images / size))
    return torch.cat([encoder.states(pixels, layer).x.cpu() for pixels in batches], 1)
