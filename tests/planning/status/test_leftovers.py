"""`python -m cocoop prune` deletes what other settings made and nothing else; `status` says that there is something."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cocoop import io
from cocoop.cli import main
from cocoop.planning import stages
from cocoop.planning.files import plan_of
from cocoop.planning.jobs import jobs_of

SETTINGS = {"data_root": "data", "seeds": [1]}
OTHERS = {
    "a learning rate": {"variants": {"coop": {"training": {"lr": 0.004}}}},
    "fewer epochs, so fewer cached views": {"variants": {"coop": {"training": {"epochs": 40}}}},
    "other seeds": {"seeds": [2, 3]},
    "another backbone": {"backbone": "rn50"},
}
EACH = 1000  # bytes of a file


@pytest.fixture
def write(tmp_path, monkeypatch) -> Callable[..., Path]:
    """Writes a configuration file into the working folder."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, **changes) -> Path:
        path = Path(name)
        path.write_text(yaml.safe_dump(SETTINGS | changes))
        return path

    return write


def make(configfile: Path) -> set[Path]:
    """Files in place of everything that the jobs of a configuration make; those that other settings may change."""
    jobs = jobs_of(plan_of([configfile]))
    outputs = {Path(path) for job in jobs for path in job.outputs.values()}
    for path in outputs:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix:
            path.write_bytes(b"x" * EACH)
        else:  # tables and figures
            path.mkdir(exist_ok=True)
    for stamp in (job.outputs["stamp"] for job in jobs if job.stage == stages.DOWNLOAD):  # of folders without any files
        io.write_json(Path(stamp), {"schema": 1, "kind": "source", "state": {}})
    rooms = {"runs", "features", "views", "datasets", "backbones"}
    return {path for path in outputs if path.parts[1] in rooms}


def files() -> set[Path]:
    return {path for path in Path().rglob("*") if path.is_file()}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_prune_deletes_exactly_what_other_settings_made(write, capsys, change):
    now, before = write("now.yaml"), write("before.yaml", **change)
    wanted = make(now)
    others = make(before) - wanted
    all_files = files()
    assert others
    assert main(["prune", "-n", "--configfile", "now.yaml"]) == 0
    assert files() == all_files
    listed = capsys.readouterr().out.splitlines()
    assert main(["status", "--configfile", "now.yaml"]) == 0
    used = len(others) * EACH
    size = f"{used / 1e6:.1f} MB" if used >= 1e6 else f"{used / 1e3:.0f} kB"
    found = len(listed) - 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"{found} results of other settings use {size}; `python -m cocoop prune -n` lists them."
    assert main(["prune", "--configfile", "now.yaml"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:-1] == listed[:-1]
    assert out[-1] == f"deleted: {found} results of other settings, {size}."
    assert files() == all_files - others
    assert main(["status", "--configfile", "now.yaml"]) == 0
    assert "other settings" not in capsys.readouterr().out


def test_prune_deletes_a_checkpoint_of_other_settings(write):
    now, before = write("now.yaml"), write("before.yaml", variants={"coop": {"training": {"lr": 0.004}}})
    begun = next(path for path in make(before) - make(now) if path.name == "learned.safetensors")
    checkpoint = begun.with_name("checkpoint.safetensors")
    begun.rename(checkpoint)
    kept = next(path for path in make(now) if path.name == "learned.safetensors").with_name(checkpoint.name)
    kept.write_bytes(b"x")
    assert main(["prune", "--configfile", "now.yaml"]) == 0
    assert kept.exists()
    assert not checkpoint.parent.exists()


def test_prune_keeps_images_and_files_of_users(write):
    """A data root inside the results, a contact sheet beside the manifests, and results that are only linked."""
    write("now.yaml", data_root="results/datasets/digits")
    own = [
        Path("results/datasets/digits/pictures/0.png"), Path("results/datasets/counts/contact_sheet.png"),
        Path("elsewhere/test.safetensors"), Path("results/README.md"),
    ]  # fmt: skip
    for path in own:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    link = Path("results/features/tiny/digits/abc")
    link.parent.mkdir(parents=True)
    link.symlink_to(Path("elsewhere").absolute())
    assert main(["prune", "--configfile", "now.yaml"]) == 0
    assert all(path.read_text() == "mine" for path in own)
    assert not link.is_symlink()


def test_prune_deletes_nothing_while_snakemake_works(write, capsys):
    write("now.yaml")
    result = Path("results/runs/tiny/digits/base/coop/shots16/seeds1/abc/learned.safetensors")
    lock = Path(".snakemake/locks/0.output.lock")
    for path in (result, lock):
        path.parent.mkdir(parents=True)
        path.touch()
    assert main(["prune", "--configfile", "now.yaml"]) == 2
    assert "another Snakemake is working in this folder" in capsys.readouterr().err
    assert result.exists()
    assert main(["prune", "-n", "--configfile", "now.yaml"]) == 0
