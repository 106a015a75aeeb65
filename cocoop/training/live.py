"""Live curves: the rows of history.csv as event files for TensorBoard while a training runs. No result depends on them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cocoop.errors import UserError
from cocoop.training.loop import Progress

FOLDER = "tensorboard"
KEYS = ("seed", "epoch")  # of a row; all others are curves


@contextmanager
def curves(folder: Path, seeds: Sequence[int], done: Progress) -> Iterator[Callable[[Progress], None]]:
    """A function to call after each epoch, which writes into `folder`/tensorboard/seedN for each seed.

    done: the state that the training continues from; later events of an earlier attempt are hidden.
    Raises a UserError if the package tensorboard is missing.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError(
            "tensorboard: true needs the package tensorboard; run pip install tensorboard, or set tensorboard: false."
        ) from error
    with ExitStack() as stack:
        writers = {
            seed: SummaryWriter(str(folder / FOLDER / f"seed{seed}"), purge_step=done.epochs + 1) for seed in seeds
        }
        for writer in writers.values():
            stack.callback(writer.close)

        def write(now: Progress) -> None:
            for row in now.history:
                if row["epoch"] == now.epochs:
                    for name in sorted(row.keys() - set(KEYS)):
                        writers[int(row["seed"])].add_scalar(name, row[name], now.epochs)
            for writer in writers.values():
                writer.flush()

        yield write
