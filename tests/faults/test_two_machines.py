"""benchmarks/two_machines.py: what it says of two results folders that are the same, and of two that are not."""

import runpy
import shutil

import pytest

from cocoop import io
from cocoop.errors import UserError
from cocoop.reporting.records.records import seal_of

compare = runpy.run_path(str(io.REPOSITORY / "benchmarks/two_machines.py"))["compare"]


@pytest.fixture
def folders(made, tmp_path):
    """Two folders with one experiment and one training each."""
    for name in ("one", "other"):
        (tmp_path / name / "experiments/flags").mkdir(parents=True)
        for table in ("records.csv", "records.csv.sha256"):
            shutil.copy(made / table, tmp_path / name / "experiments/flags")
        run = tmp_path / name / "runs/small/flags/base/coop/shots4/seeds1-2/0a1b2c"
        run.mkdir(parents=True)
        shutil.copy(made / "run/learned.safetensors", run)
    return tmp_path / "one", tmp_path / "other"


def coop(report: str) -> list[str]:
    line = next(line for line in report.splitlines() if line.startswith("| coop"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_same(folders):
    report = compare(*folders)
    assert coop(report) == ["coop", "4", "0.00", "0.00", "1", "1", "0.0e+00"]
    assert "records.csv: identical bytes" in report and "only one of the two folders: 0" in report


def test_not_the_same(folders):
    one, other = folders
    learned = next(other.rglob("learned.safetensors"))
    tensors, metadata = io.read_tensors(learned, "learned")
    scale = float(tensors["seed1.ctx"].abs().max())
    tensors["seed1.ctx"].view(-1)[0] += 0.5 * scale
    io.write_tensors(learned, tensors, metadata)
    table = other / "experiments/flags/records.csv"
    lines = table.read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if ",coop,4,,1,flags,base," in line)
    cells = lines[at].split(",")
    column = lines[0].split(",").index("accuracy")
    cells[column] = str(float(cells[column]) + 0.1)  # of one of two seeds: 5 points of their mean
    table.write_text("\n".join([*lines[:at], ",".join(cells), *lines[at + 1 :][:-1]]) + "\n")
    seal_of(table).write_text(f"{io.sha256_file(table)}  records.csv\n")
    report = compare(one, other)
    assert coop(report)[3:] == ["5.00", "1", "0", "5.0e-01"]
    assert "different bytes" in report and "only one of the two folders: 1" in report


def test_no_results_folder(tmp_path):
    with pytest.raises(UserError, match="give a results folder"):
        compare(tmp_path, tmp_path)
