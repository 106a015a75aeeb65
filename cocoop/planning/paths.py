"""Where results lie, relative to the working folder. Paths only locate: what a result is stands inside its files."""

from cocoop.planning.plan import Block, Evaluation, Plan


def run_folder(plan: Plan, block: Block) -> str:
    """Folder of a block's learned tensors, history and cost."""
    return f"results/runs/{plan.backbone.name}/{block.dataset}/{block.subset}/{block.variant}/{_draw(block)}"


def evaluation_folder(plan: Plan, evaluation: Evaluation) -> str:
    """Folder of an evaluation's metrics, predictions and cost."""
    return f"{run_folder(plan, evaluation.block)}/tests/{evaluation.target}/{evaluation.subsets_text}"


def view_paths(plan: Plan, block: Block) -> list[str]:
    """The view files a block reads, in order."""
    folder = f"results/views/{plan.backbone.name}/{block.dataset}/{block.subset}/{_draw(block)}"
    return [f"{folder}/{name}.safetensors" for name in plan.view_files(block)]


def _draw(block: Block) -> str:
    return f"shots{block.shots}/seeds{block.seeds_text}"
