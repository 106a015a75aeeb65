"""Numbers of tokens in the text encoder: with the authors' code, and with the exact prompt encoder."""

from typing import NamedTuple

from cocoop.planning.cost.work import Estimator
from cocoop.planning.job import Job
from cocoop.run import Evaluation, Run

TAIL = 4.2  # mean tokens of a class after its context, including EOT, over the paper's datasets with split files
# CoOp's names for the parts of a prompt; parameters with these names determine a method's number of tokens.
PROMPT_PARAMS = {"n_ctx": "contexts", "ctx_init": "words", "class_token_position": "position"}


class Tokens(NamedTuple):
    """Tokens of a job.

    Attributes:
        literal: with every prompt at full length.
        fast: with the exact prompt encoder.
        guessed: whether the class names are unknown.
    """

    literal: int
    fast: int
    guessed: bool = False


class Counter:
    """Counts the tokens of an estimator's jobs, once for each variant and list of class names."""

    def __init__(self, estimator: Estimator) -> None:
        self.estimator = estimator
        self._fast: dict[tuple, int] = {}

    def tokens(self, job: Job) -> Tokens | None:
        """Tokens of a training or evaluation; None if the dataset's size or the text encoder's context length is unknown."""
        size = self.estimator.datasets.get(getattr(job.about, "target", getattr(job.about, "dataset", "")))
        backbone, work = self.estimator.backbone(job), self.estimator.work(job)
        if not isinstance(job.about, Run | Evaluation):
            return Tokens(0, 0)
        length = backbone.context_length if backbone else None
        if not size or not backbone or not length or work is None:
            return None
        about = job.about
        run, subsets = (about, [about.subset]) if isinstance(about, Run) else (about.run, about.subsets)
        if backbone.literal:
            return Tokens(work.prompts * length, work.prompts * length)
        classes = sum(len(size.labels(subset)) for subset in subsets)
        if not size.classnames:
            contexts = run.params.get("n_ctx", 0)
            return Tokens(work.prompts * length, round(work.prompts * (TAIL + contexts / classes)), guessed=True)
        fast = 0
        for subset in subsets:
            labels = size.labels(subset)
            share = work.prompts * len(labels) / classes if len(subsets) > 1 else work.prompts
            names = tuple(size.classnames[label] for label in labels)
            fast += round(share / len(labels) * self._of_context(run, names, length)) if labels else 0
        return Tokens(work.prompts * length, fast)

    def _of_context(self, run: Run, names: tuple[str, ...], length: int) -> int:
        """Tokens that the exact prompt encoder computes for one context and all classes: tails, and prefix from the context on."""
        params, template = run.params, self.estimator.plan.datasets[run.dataset].template
        chosen = {ours: params[key] for key, ours in PROMPT_PARAMS.items() if key in params}
        key = (names, template, *chosen.values(), params.get("csc"), length)
        if key not in self._fast:
            self._fast[key] = _packed(names, template, chosen, not params.get("csc"), length)
        return self._fast[key]


def _packed(names: tuple[str, ...], template: str, chosen: dict, shared: bool, length: int) -> int:
    # Imported here because the tokenizer needs torch, but a plan without class names does not.
    from cocoop.text import prompts, tokenizer
    from cocoop.text.packing import Packing

    encoder = tokenizer.byte_pair()
    if "contexts" in chosen:
        options = {key: value for key, value in chosen.items() if key != "contexts"}
        packing = Packing(prompts.learnable(encoder, length, names, chosen["contexts"], shared=shared, **options))
    else:
        packing = Packing(prompts.templated(encoder, length, names, template))
    return packing.tail_entries + len(packing.prefix()[1])
