"""A step launches few operations: on a GPU, and with small towers on a CPU, their number decides how long it takes."""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cocoop.bench import sides
from cocoop.bench.cases import Case
from cocoop.methods.base import Batch

FREE = {
    "_unsafe_view", "alias", "as_strided", "detach", "empty", "empty_like", "empty_strided", "expand", "narrow", "new_empty",
    "new_empty_strided", "permute", "select", "slice", "split", "split_with_sizes", "squeeze", "t", "transpose", "unbind",
    "unsqueeze", "view", "_record_function_enter_new", "_record_function_exit",
}  # fmt: skip
"""aten's operations that compute and copy nothing."""
GEOMETRY = sides.GEOMETRY | {"width": 32, "heads": 2, "output_dim": 16}  # twelve layers


class Counted(TorchDispatchMode):
    """Counts operations that would each start a kernel on a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name not in FREE:
            self.counts[name] += 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(("classes", "batch", "most"), [(10, 1, 340), (10, 8, 365), (100, 1, 370), (100, 8, 375)])
@pytest.mark.parametrize("method", ["cocoop", "coop"])
def test_a_step_is_a_few_hundred_operations(method, classes, batch, most):
    work = sides.work(Case(method, "train", classes, batch), sides.sides("cpu", GEOMETRY)["fast"])
    batch = Batch(work.images, work.labels)
    work.trainer.step(batch)
    with Counted() as counted:
        work.trainer.step(batch)
    assert counted.counts["addmm"] >= 4 * 11  # a layer has four matrix products
    assert counted.counts.total() <= most, counted.counts.most_common()


def test_what_computes_is_counted():
    x = torch.ones(3, 4, requires_grad=True)
    with Counted() as counted:
        (x.T @ x).view(16).sum().backward()
    assert counted.counts == {"mm": 3, "sum": 1, "ones_like": 1, "add": 1}
