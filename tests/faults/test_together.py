"""At the same time, and again: processes that share a folder, and results that do not depend on how they were made."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import torch

from cocoop import io
from cocoop.images.inputs import TrainingFiles
from cocoop.training.run import train
from tests.faults import processes, workflow
from tests.faults.test_kill_workflow import results
from tests.faults.world import contents

MANY, MANY_IN_CI = 100, 6


def files(made: Path) -> TrainingFiles:
    return TrainingFiles(made / "text_tower.safetensors", (made / "views.safetensors",))


def test_downloads_into_one_data_root(world, made, tmp_path, served, full, figures):
    """They wait for one another, and one of them fetches."""
    before, number = len(served.log), 8 if full else 3
    running = [processes.Stage(world.arguments("download", tmp_path), tmp_path / f"{i}.log") for i in range(number)]
    ended = [stage.wait() for stage in running]
    assert [end.code for end in ended] == [0] * number, [end.text for end in ended]
    assert len(served.log) == before + 1
    assert contents(tmp_path / "data/flags") == contents(made / "data/flags")
    figures.add("downloads into one data root at once", "one fetched, all ended well", number)


def test_evaluations_that_read_one_features_file(world, made, tmp_path, full, figures):
    number = MANY if full else MANY_IN_CI
    arguments = [world.arguments("evaluate", tmp_path / str(i), made) for i in range(number)]
    running = [processes.Stage(line, tmp_path / f"{i}.log") for i, line in enumerate(arguments)]
    assert [stage.wait().code for stage in running] == [0] * number
    whole = contents(made / "test")
    assert all(contents(tmp_path / str(i) / "test") == whole for i in range(number))
    figures.add("evaluations that read one features file at once", "same bytes", number)


def test_trainings_into_one_folder(world, made, tmp_path, figures):
    """Nothing locks a folder against a second process by hand; atomic files keep it whole all the same."""
    running = [processes.Stage(world.arguments("train", tmp_path, made), tmp_path / f"{i}.log") for i in range(3)]
    assert [stage.wait().code for stage in running] == [0] * 3
    assert contents(tmp_path / "run") == contents(made / "run")
    figures.add("trainings into one folder at once", "same bytes", 3)


def test_two_snakemakes_on_one_folder(world, benchmark, tmp_path, full, figures):
    """The second says that the folder is locked, and the first goes on undisturbed to the same results."""
    folder = workflow.folder_of(world, tmp_path / "here")
    first = workflow.start(folder, *([] if full else ["--until", "features"]), cores=2)
    workflow.wait_for_log(folder / "results/logs", first)
    code, said = workflow.ended(workflow.start(folder))
    assert first.poll() is None, "the first was too fast to be met"
    assert code != 0 and "locked" in said and "Traceback" not in said, said
    code, said = workflow.ended(first)
    assert code == 0, said[-3000:] + workflow.logs(folder)
    found, whole = results(folder), results(benchmark)
    assert found == (whole if full else {name: whole.get(name) for name in found})
    figures.add("two Snakemakes on one folder", "the second refused, the first ended with the same bytes")


def test_loader_processes_and_caches(world, made, tmp_path, full, figures):
    """1 and 2 processes that decode, against none; a cold start and one that finds all parts but the last."""
    whole = contents(made)
    for stage, name in (("features", "features.safetensors"), ("views", "views.safetensors")):
        for workers in ("1", "2") if full else ("2",):
            out = tmp_path / f"{stage}{workers}"
            ended = processes.run([*world.arguments(stage, out, made), "--workers", workers], tmp_path / "log")
            assert ended.code == 0, ended.text
            assert contents(out)[name] == whole[name]
            figures.add("1 and 2 loader processes, cold and warm caches", "same bytes")
        out = tmp_path / f"{stage}-warm"
        kill_among_parts(world.arguments(stage, out, made), out, tmp_path / "log")
        assert not (out / name).exists()
        assert processes.run(world.arguments(stage, out, made), tmp_path / "log").code == 0
        assert contents(out)[name] == whole[name]
        figures.add("1 and 2 loader processes, cold and warm caches", "same bytes")


def kill_among_parts(line, out, log) -> None:
    """Kills the stage when it has written parts and not yet the whole."""
    for _ in range(20):
        shutil.rmtree(out, ignore_errors=True)
        running = processes.Stage(line, log)
        while not list(out.glob("*.parts/*.safetensors")) and running.process.is_alive():
            time.sleep(0.001)
        if running.kill_after(0).code == -9 and list(out.glob("*.parts/*.safetensors")):
            return
    raise AssertionError("never killed among its parts")


def test_batches_of_another_size_are_measured(world, made, tmp_path, capsys, figures):
    """What cannot be the same bytes: a batch size changes the order of sums. The default is fixed, so no user meets it."""
    out = tmp_path / "plain"
    assert processes.run(world.arguments("features", out, made), tmp_path / "log", quick=False).code == 0
    other = io.read_tensors(out / "features.safetensors", "features")[0]["features"]
    ours = io.read_tensors(made / "features.safetensors", "features")[0]["features"]
    difference = float((other - ours).abs().max() / ours.abs().max())
    figures.add("measured: features from batches of 4 and of 64", f"differ by {difference:.0e} of the largest")
    assert difference < 1e-5


def test_a_seed_alone_and_together(world, made, tmp_path, figures):
    """Seeds trained in one batch do not see one another; sums in another order may differ in the last digits."""
    train(replace(world.run, seeds=(2,)), files(made), tmp_path, "cpu", 256)
    one = io.read_tensors(tmp_path / "learned.safetensors", "learned")[0]["seed2.ctx"]
    both = io.read_tensors(made / "run/learned.safetensors", "learned")[0]["seed2.ctx"]
    difference = float((one - both).abs().max() / both.abs().max())
    figures.add("measured: seed 2 trained alone and with seed 1", f"differ by {difference:.0e} of the largest")
    assert difference < 1e-4
    assert not torch.equal(both, io.read_tensors(made / "run/learned.safetensors", "learned")[0]["seed1.ctx"])


def test_threads_of_arithmetic(world, made, tmp_path, figures):
    """Two threads of torch against one."""
    shutil.copytree(made / "run", tmp_path / "one")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        train(world.run, files(made), tmp_path / "two", "cpu", 256)
    finally:
        torch.set_num_threads(before)
    same = contents(tmp_path / "two") == contents(tmp_path / "one")
    figures.add("measured: 1 and 2 threads of arithmetic in a training", "same bytes" if same else "other last digits")
    one, two = (
        io.read_tensors(tmp_path / n / "learned.safetensors", "learned")[0]["seed1.ctx"] for n in ("one", "two")
    )
    assert torch.allclose(one, two, rtol=1e-4, atol=1e-6)
