"""Odd names end to end through Snakemake's shell: they work, nothing is executed; a dataset's own name is restricted."""

import json
import shutil
import subprocess

import pytest
import yaml

from cocoop import io
from cocoop.config import Registry
from cocoop.errors import UserError
from tests import forked
from tests.faults import workflow
from tests.faults.world import archive, picture

CLASSES = [
    "it's",
    'a "quote"',
    "$(touch canary)",
    "`touch canary`",
    "-rf",
    "semi; touch canary",
    "two\nlines",
    "drache é 龍",
]
FILES = ["it's.png", '"q".png', "$(touch canary).png", "-n.png", "a b.png", "line\nfeed.png"]


def snakemake(folder, *arguments: str) -> subprocess.CompletedProcess:
    return forked.snakemake("--snakefile", str(workflow.SNAKEFILE), "--cores", "1", *arguments, folder=folder)


@pytest.fixture
def folder(world, tmp_path):
    """A working folder with a dataset of odd names in a data root of an odd name, and an odd template."""
    folder, root = tmp_path / "here", tmp_path / "da ta $(touch canary)'s"
    shutil.copytree(world.folder / "config", folder / "config")
    images = root / "odd" / "images"
    splits = {"train": [], "val": [], "test": []}
    for label, name in enumerate(CLASSES):
        for number, file in enumerate(FILES):
            place = images / name / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(picture(label, number))
            splits["test" if number % 3 == 2 else "train"].append([f"{name}/{file}", label, name])
    (root / "odd" / "split.json").write_text(json.dumps(splits))
    dataset = {
        "title": "Odd's \"$(touch canary)\" a $x^$ b", "template": "a photo's \"{}\" `touch canary`.",
        "reader": {"kind": "coop_split", "file": "split.json", "images": "images"},
    }  # fmt: skip
    (folder / "config/datasets/odd.yaml").write_text(json.dumps(dataset))
    overrides = {"train_datasets": ["odd"], "title": "it's $(touch canary) $\\bad$ <b>&"}
    config = {**world.config, "data_root": str(root), "experiments": {"flags": overrides}}
    config["variants"] = {"coop": {"training": {"epochs": 2, "batch_size": 8}}}
    method = io.read_yaml(folder / "config/methods/coop.yaml")
    method["variants"]["coop"]["label"] = "_CoOp $\\bad$ <script>"
    (folder / "config/methods/coop.yaml").write_text(yaml.safe_dump(method))
    (folder / "config/config.yaml").write_text(json.dumps(config))
    return folder


def test_odd_names_work_and_run_nothing(folder, tmp_path, figures):
    done = snakemake(folder, "results/experiments/flags/tables", "results/report.html")
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:] + logs(folder)
    page = (folder / "results/report.html").read_text()
    assert "\\bad$ <script>" not in page and "\\bad$ &lt;script&gt;" in page and "a $x^$ b" in page
    drawn = (folder / "results/experiments/flags/figures/training_curves.svg").read_text()
    assert "a $x^$ b" in drawn and "_CoOp $\\bad$" in drawn, "a title or a label is not drawn as it is"
    assert not [path for path in tmp_path.rglob("canary")]
    metrics = next((folder / "results").rglob("coop/*/*/*/tests/odd/*/*/metrics.json"))
    records = io.read_json(metrics, "metrics")["records"]
    assert {entry["name"] for record in records for entry in record["classes"]} == set(CLASSES)
    figures.add(
        "odd class, file, folder and title names through Snakemake",
        "worked, nothing executed",
        len(CLASSES) + len(FILES) + 4,
    )


ARCHIVE = '-x it\'s "é" $(touch canary); `touch canary` & {x}.tar'


def test_an_archive_of_an_odd_name(world, served, tmp_path, figures):
    """From a server through the download rule to metrics; its name stands in paths, records and logs."""
    folder = tmp_path / "here"
    shutil.copytree(world.folder / "config", folder / "config")
    (folder / "config/config.yaml").write_text(
        json.dumps(world.config | {"experiments": {"flags": {"variants": ["clip"]}}})
    )
    dataset = io.read_yaml(folder / "config/datasets/flags.yaml")
    url = served.put("/it's%20$(touch%20canary).tar", archive())
    dataset["download"][0] |= {"file": ARCHIVE, "sources": [url]}
    (folder / "config/datasets/flags.yaml").write_text(json.dumps(dataset))
    done = snakemake(folder, "results/experiments/flags/records.csv")
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:] + logs(folder)
    assert not list(tmp_path.rglob("canary")) and next((folder / "results").rglob("metrics.json"))
    stamp = io.read_json(next(folder.glob("data/.sources/flags-*.json")), "source")
    assert [file["file"] for file in stamp["files"]] == [ARCHIVE] and stamp["files"][0]["url"] == url
    figures.add("odd class, file, folder and title names through Snakemake", "worked, nothing executed")


def logs(folder) -> str:
    return "\n".join(path.read_text()[-600:] for path in (folder / "results/logs").rglob("*.log"))


@pytest.mark.parametrize("name", ["Two Words", "$(touch canary)", "-rf", "it's", "a;b", "é", ".hidden", "a\nb"])
def test_a_dataset_with_a_strange_name_is_refused(name, world, tmp_path, figures):
    folder = tmp_path / "config"
    shutil.copytree(world.folder / "config", folder)
    shutil.copy(folder / "datasets/flags.yaml", folder / "datasets" / f"{name}.yaml")
    with pytest.raises(UserError, match="is not a valid dataset name; use lower-case|unknown dataset") as caught:
        Registry(folder).dataset(name, "config.yaml: datasets")
    assert "\n" not in str(caught.value)
    figures.add("strange dataset names", "refused in one line")


def test_a_strange_name_in_a_configuration_stops_before_any_job(folder, tmp_path, figures):
    config = io.read_yaml(folder / "config/config.yaml")
    config["experiments"]["flags"]["train_datasets"] = ["$(touch canary)"]
    (folder / "config/config.yaml").write_text(json.dumps(config))
    done = snakemake(folder)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "unknown dataset '$(touch canary)'" in lines[0] and "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("canary")) and not (folder / "results").exists()
    figures.add("strange dataset names", "refused in one line")
