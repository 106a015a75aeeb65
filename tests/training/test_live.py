"""Live curves for TensorBoard: the numbers of history.csv, and no change of any result."""

import sys
from dataclasses import replace

import pandas as pd
import pytest
import torch

from cocoop import io
from cocoop.backbone import model as backbone
from cocoop.cli import main
from cocoop.cli.arguments import tensorboard
from cocoop.config import Registry
from cocoop.errors import UserError
from cocoop.images import views
from cocoop.planning import files
from cocoop.planning.environment import TENSORBOARD, environment
from cocoop.splits import load_few_shot, save_few_shot
from cocoop.training import live
from cocoop.training.loop import Progress
from tests.images.pictures import dataset
from tests.runs import run_of

SEEDS = (1, 2)


@pytest.fixture(scope="module")
def command(tmp_path_factory) -> list[str]:
    """A training of CoOp on pictures of two colours, without --out."""
    folder = tmp_path_factory.mktemp("live")
    manifest = dataset(folder)
    spec = Registry().backbone("tiny", "test")
    whole = backbone.load(spec)
    for seed in SEEDS:
        save_few_shot(folder / f"seed{seed}.json", manifest, 2, seed)
    drawn = {seed: load_few_shot(folder / f"seed{seed}.json") for seed in SEEDS}
    views.extract(whole, manifest, folder, drawn, "all", None, folder / "views.st")
    assert main(["text-tower", "--backbone", io.canonical_json(spec.settings), "--out", str(folder / "tower.st")]) == 0
    training = replace(Registry().variants["coop"].training, epochs=3)
    run = run_of("coop", backbone=spec, dataset="pictures", templates=(), training=training, shots=2, seeds=SEEDS)
    files = ["--text-tower", str(folder / "tower.st"), "--views", str(folder / "views.st")]
    return ["train", "--run", run.to_json(), *files]


def test_curves_are_the_numbers_of_history(command, tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("COCOOP_DEVICE", "cpu")
    assert main([*command, "--out", str(tmp_path / "without")]) == 0
    monkeypatch.setenv("COCOOP_TENSORBOARD", "1")
    assert main([*command, "--out", str(tmp_path / "with")]) == 0
    for name in ("learned.safetensors", "history.csv"):
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()
    assert not (tmp_path / "without" / live.FOLDER).exists()
    history = pd.read_csv(tmp_path / "with/history.csv")
    for seed in SEEDS:
        events = EventAccumulator(str(tmp_path / "with" / live.FOLDER / f"seed{seed}")).Reload()
        assert set(events.Tags()["scalars"]) == {"lr", "loss", "accuracy"}
        for name in ("lr", "loss", "accuracy"):
            found = events.Scalars(name)
            assert [event.step for event in found] == [1, 2, 3]
            expected = torch.tensor(history.loc[history["seed"] == seed, name].to_numpy()).float()
            assert torch.equal(torch.tensor([event.value for event in found]), expected)


def test_a_missing_tensorboard_is_one_line_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError) as error, live.curves(tmp_path, SEEDS, Progress()):
        pass
    assert str(error.value).startswith("tensorboard: true needs the package tensorboard; run pip install tensorboard")


def test_the_configuration_sets_the_variable_only_when_asked():
    config = files.load()
    assert config["tensorboard"] is False and TENSORBOARD not in environment(config)
    assert environment(config | {"tensorboard": True})[TENSORBOARD] == "1"


@pytest.mark.parametrize(("value", "wanted"), [("", False), ("0", False), ("1", True)])
def test_the_variable_asks_for_curves(value, wanted, monkeypatch):
    monkeypatch.setenv("COCOOP_TENSORBOARD", value)
    assert tensorboard() is wanted
