"""What a backbone's image encoder costs: its parameters, and floating-point operations for an image."""

import copy
from typing import TypedDict

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cocoop.backbone.model import Backbone


class Effort(TypedDict):
    """parameters: of the image encoder. gflops: 10^9 operations for one image, a multiplication and an addition counting as two;
    None if torch cannot follow the encoder without computing.
    """

    parameters: int
    gflops: float | None


def of_images(backbone: Backbone) -> Effort:
    """Counted from the architecture by torch, without computing, so it is the same on every machine."""
    visual = _without_numbers(backbone.model.visual)
    size, dtype = backbone.image_size, next(visual.parameters()).dtype
    pixels = torch.empty(1, 3, size, size, device="meta", dtype=dtype)
    parameters = sum(parameter.numel() for parameter in visual.parameters())
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            visual(pixels)
    except (
        RuntimeError,
        NotImplementedError,
        TypeError,
    ):  # an operation that torch has not for tensors without numbers
        return {"parameters": parameters, "gflops": None}
    return {"parameters": parameters, "gflops": round(counter.get_total_flops() / 1e9, 3)}


def _without_numbers(module: nn.Module) -> nn.Module:
    """A copy on the meta device, which takes no memory."""
    memo: dict[int, object] = {id(p): nn.Parameter(p.to("meta"), requires_grad=False) for p in module.parameters()}
    memo |= {id(buffer): buffer.to("meta") for buffer in module.buffers()}
    return copy.deepcopy(module, memo)
