"""Does torch.compile pay? CoCoOp's and CoOp's training step, ViT-B/16 geometry, random weights, with and without it.

python benchmarks/compiled.py [--device cuda] [--precision bf16] [--classes 100]
"""

import argparse
import time
from dataclasses import replace

import torch
from tabulate import tabulate

from cocoop.bench import timing
from cocoop.bench.cases import COOP_BATCH, Case
from cocoop.bench.sides import GEOMETRY, sides, work
from cocoop.clip.prompt_encoder import PromptEncoder

REPEATS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--classes", type=int, default=100)
    options = parser.parse_args()
    eager = sides(options.device, GEOMETRY, options.precision)["fast"]

    def encoder(prompts, plain=eager.encoder) -> PromptEncoder:
        return torch.compile(plain(prompts), fullgraph=True, dynamic=False)

    rows = []
    for method, batch in (("cocoop", 1), ("coop", COOP_BATCH)):
        case = Case(method, "train", options.classes, batch, options.precision)
        plain, fast = work(case, eager), work(case, replace(eager, encoder=encoder))
        plain.run()
        start = time.perf_counter()
        fast.run()
        first = time.perf_counter() - start
        seconds = timing.in_turn(plain.run, fast.run, REPEATS, options.device)  # "literal" is the eager side here
        saved = seconds["literal"] - seconds["fast"]
        pays = f"{first / saved:,.0f}" if saved > 0 else "never"
        rows.append([str(case), seconds["literal"], seconds["fast"], seconds["literal"] / seconds["fast"], first, pays])
    head = ["step", "eager s", "compiled s", "ratio", "first step s", "steps until it pays"]
    print(tabulate(rows, head, "pipe", floatfmt=("", ".3g", ".3g", ".2f", ".0f", "")))


if __name__ == "__main__":
    main()
