"""The command that `again:` shows for a failed job, with the configuration that the job was made with."""

import shlex

import pytest
from snakemake.cli import parse_config

from cocoop import io
from cocoop.planning.status.report import _options
from tests import forked

SNAKEFILE = ("--snakefile", str(io.REPOSITORY / "workflow/Snakefile"))
VALUES = [
    "backbone=broken", "data_root=/my data/it's", "seeds_per_job=2", "offline=True", "precision=", "views=plain",
    "data_root='2024'", "data_root=a: b: c", "experiments=[base_to_new, {few_shot_curves: {variants: [coop]}}]",
    "variants={coop: {label: 'a $HOME: b'}}",
]  # fmt: skip
BROKEN = {"label": "broken", "model": "ViT-B-16", "pretrained": "weights.pt", "precision": "fp32"}


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_read_as_the_same_again(value):
    read = parse_config([value])
    option, *again = shlex.split(shlex.join(_options([], read)))
    assert option == "--config"
    assert parse_config(again) == read


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with a backbone whose weights are damaged."""
    folder = tmp_path_factory.mktemp("again")
    io.write_text(folder / "config/backbones/broken.yaml", io.canonical_json(BROKEN))
    (folder / "weights.pt").write_text("damaged")
    (folder / "mine.yaml").write_text("seeds: [1]\n")
    return folder


@pytest.fixture(scope="module")
def again(folder) -> list[str]:
    """The options and the target that are shown after a failure of `--config backbone=broken`."""
    failing = ("--cores", "1", "--until", "text_tower", "--configfile", "mine.yaml", "--config", "backbone=broken")
    done = forked.snakemake(*SNAKEFILE, *failing, folder=folder)
    assert done.returncode == 1, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("  again:  "))
    return shlex.split(line)[3:]


def test_the_values_of_the_command_line_are_repeated(folder, again):
    options = "--cores all --rerun-incomplete --configfile mine.yaml --config backbone=broken --"
    assert again[:-1] == options.split()
    done = forked.snakemake(*SNAKEFILE, "-n", *again, folder=folder)
    assert done.returncode == 0, done.stderr
    assert ["text_tower", "1"] in [line.split() for line in done.stdout.splitlines()]


def test_a_target_of_another_configuration_is_refused(folder, again):
    for target in (again[-1], "results/configuration-0123456789.json"):
        done = forked.snakemake(*SNAKEFILE, "--cores", "1", "--configfile", "mine.yaml", "--", target, folder=folder)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1] == (
            f"error: {target}: not a result of mine.yaml; other settings give other paths: name the --configfile and --config "
            "that it was made with, or leave out the target to make all results."
        )
        assert "Traceback" not in done.stderr and "KeyError" not in done.stderr
