"""Jobs that ended with a Snakemake that was stopped by Ctrl-C are left, not failed."""

import pytest

from cocoop.io import REPOSITORY
from cocoop.planning.files import plan_of
from cocoop.planning.jobs import jobs_of
from cocoop.planning.stages import TRAIN
from cocoop.planning.status.interrupted import STOPPED
from cocoop.planning.status.states import State, look


@pytest.mark.parametrize("error", ["", "error: the loss of seed 1 is nan\n"])
@pytest.mark.parametrize("latest", ["", f"{STOPPED}, this might take some time.\n"])
def test_cancelled_with_its_head(tmp_path, error, latest):
    """A training without outputs, mark or error in its log; an error of its own is a failure all the same."""
    job = next(job for job in jobs_of(plan_of([REPOSITORY / "config/config.yaml"])) if job.stage is TRAIN)
    heads = tmp_path / ".snakemake/log"
    contents = {
        **{tmp_path / path: "" for path in job.files},
        tmp_path / job.log: f"command: python\n{error}",
        heads / "2026-11-24T100000.1.snakemake.log": f"{STOPPED}\n",
        heads / "2026-11-24T110000.1.snakemake.log": latest,
    }
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    assert look([job], tmp_path)[0].state is (State.LEFT if latest and not error else State.FAILED)
