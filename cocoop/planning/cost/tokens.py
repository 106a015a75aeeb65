"""Tokens through the text tower: as the authors' code computes them, and as the exact encoder does."""

from typing import NamedTuple

from cocoop.planning import Block, Evaluation
from cocoop.planning.cost.work import Estimator
from cocoop.planning.jobs import Job

TAIL = 4.2  # tokens of a class after its context, EOT included: the mean over the names of the paper's datasets with split files


class Tokens(NamedTuple):
    """literal: every prompt at its full length; fast: what the exact encoder must compute; guessed: without the class names."""

    literal: int
    fast: int
    guessed: bool = False


class Counter:
    """Tokens of an estimator's jobs; remembers what it counted for one variant and one list of names."""

    def __init__(self, estimator: Estimator) -> None:
        self.estimator = estimator
        self._fast: dict[tuple, int] = {}

    def tokens(self, job: Job) -> Tokens | None:
        """Tokens of a training or evaluation; None while the dataset's size or the tower's length are unknown."""
        size = self.estimator.datasets.get(getattr(job.what, "target", getattr(job.what, "dataset", "")))
        length, work = self.estimator.backbone.context_length, self.estimator.work(job)
        if not isinstance(job.what, Block | Evaluation):
            return Tokens(0, 0)
        if not size or not length or work is None:
            return None
        block, subsets = (
            (job.what, [job.what.subset]) if isinstance(job.what, Block) else (job.what.block, job.what.subsets)
        )
        if self.estimator.backbone.literal:
            return Tokens(work.prompts * length, work.prompts * length)
        classes = sum(len(size.labels(subset)) for subset in subsets)
        if not size.classnames:
            contexts = self.estimator.plan.variant_of(block).params.get("contexts", 0)
            return Tokens(work.prompts * length, round(work.prompts * (TAIL + contexts / classes)), guessed=True)
        fast = 0
        for subset in subsets:
            labels = size.labels(subset)
            share = work.prompts * len(labels) / classes if len(subsets) > 1 else work.prompts
            names = tuple(size.classnames[label] for label in labels)
            fast += round(share / len(labels) * self._of_context(block, names, length)) if labels else 0
        return Tokens(work.prompts * length, fast)

    def _of_context(self, block: Block, names: tuple[str, ...], length: int) -> int:
        """Tokens the exact encoder computes for one context and all classes: tails, and the prefix from the context on."""
        params = self.estimator.plan.variant_of(block).params
        template = self.estimator.plan.datasets[block.dataset].template
        chosen = {key: params[key] for key in ("contexts", "words", "position") if key in params}
        key = (names, template, *chosen.values(), params.get("class_specific"))
        if key not in self._fast:
            self._fast[key] = _packed(names, template, chosen, not params.get("class_specific"), length)
        return self._fast[key]


def _packed(names: tuple[str, ...], template: str, chosen: dict, shared: bool, length: int) -> int:
    # Here and not above: the tokenizer comes with torch, which a plan without class names does not need.
    from cocoop.text import prompts, tokenizer
    from cocoop.text.packing import Packing

    encoder = tokenizer.byte_pair()
    if "contexts" in chosen:
        options = {key: value for key, value in chosen.items() if key != "contexts"}
        packing = Packing(prompts.learnable(encoder, length, names, chosen["contexts"], shared=shared, **options))
    else:
        packing = Packing(prompts.templated(encoder, length, names, template))
    return packing.tail_entries + len(packing.prefix()[1])
