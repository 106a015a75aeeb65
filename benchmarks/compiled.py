"""Does torch.compile pay? CoCoOp's and CoOp's training step, ViT-B/16 geometry, random weights, with and without it.

python benchmarks/compiled.py [--device cuda] [--precision bf16] [--classes 100]
"""

import argparse
import time
from statistics import median

import torch
from tabulate import tabulate

from cocoop.bench import operations, timing
from cocoop.bench.cases import COOP_BATCH, Case
from cocoop.bench.sides import CONTEXTS, GEOMETRY, WORDS, class_names, sides, work
from cocoop.device import choose, deterministic
from cocoop.text.compiling import for_training

REPEATS, STEPS = 6, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--classes", type=int, default=100)
    options = parser.parse_args()
    choose(options.device)
    eager = sides(options.device, GEOMETRY, options.precision)["fast"]
    encoder = eager.encoder(eager.learnable(class_names(options.classes), CONTEXTS, words=WORDS))
    needed, rows = operations.required(encoder).of("train"), []
    for method, batch in (("cocoop", 1), ("coop", COOP_BATCH)):
        case = Case(method, "train", options.classes, batch, options.precision)
        plain, fast = work(case, eager), work(case, for_training(eager, 1, "on"))
        deterministic(plain.run, str(case))
        start = time.perf_counter()
        fast.run()
        first, peak = time.perf_counter() - start, 0.0
        taken: dict[str, list[float]] = {"eager": [], "compiled": []}
        for _ in range(REPEATS):
            peak = max(peak, timing.peak_flops(options.device, options.precision))
            for way, step in (("eager", plain), ("compiled", fast)):
                taken[way] += [timing.seconds(step.run, options.device) for _ in range(STEPS)]
        one, other = (median(taken[way]) for way in taken)
        shares = [needed / statistic(taken[way]) / peak for way in taken for statistic in (median, min)]
        pays = f"{first / (one - other):,.0f}" if other < one else "never"
        rows.append([str(case), one, other, one / other, *(f"{share:.0%}" for share in shares), first, pays])
    head = ["step", "eager s", "compiled s", "ratio", "eager % of peak", "best", "compiled % of peak", "best", "first step s",
            "steps until it pays"]  # fmt: skip
    print(tabulate(rows, head, "pipe", floatfmt=("", ".3g", ".3g", ".2f", "", "", "", "", ".0f", "")))
    print(
        f"Best: the fastest step instead of the median; the peak is the best of {REPEATS} rounds. torch {torch.__version__}."
    )


if __name__ == "__main__":
    main()
