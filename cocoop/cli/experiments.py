"""Stages after evaluation: records, tables, figures, report. None of them imports torch."""

from pathlib import Path
from typing import Any

from cocoop.cli.arguments import command, parsed, path, settings
from cocoop.errors import UserError


def add(commands: Any) -> None:
    """Adds experiment, collect, tables, figures, paired and report."""
    parser = command(commands, "experiment", experiment, "write down what an experiment consists of")
    settings(parser, "the experiment")
    path(parser, "--out", about="experiment.json")

    parser = command(commands, "collect", collect, "gather metrics files into one tidy table")
    path(parser, "--metrics", about="file that lists metrics.json files, one a line")
    about = "few-shot selections of the runs, to note classes with fewer images than shots"
    path(parser, "--fewshot", about=about, nargs="*", required=False, default=[])
    path(parser, "--out", about="records.csv; its checksum and notes are written beside it")

    parser = command(commands, "tables", tables, "write an experiment's tables as CSV, Markdown and LaTeX")
    path(parser, "--experiment", about="experiment.json")
    path(parser, "--records", about="records.csv")
    path(parser, "--out", about="folder to write into")

    parser = command(commands, "paired", paired, "compare variants image by image over the same seeds")
    path(parser, "--experiment", about="experiment.json")
    path(parser, "--metrics", about="file that lists metrics.json files, one a line")
    path(parser, "--records", about="records.csv")
    path(parser, "--out", about="folder to write into")

    parser = command(commands, "figures", figures, "draw an experiment's figures as SVG and PNG")
    path(parser, "--experiment", about="experiment.json")
    path(parser, "--records", about="records.csv")
    path(parser, "--runs", about="file that lists the folders of runs and evaluations, one a line")
    path(parser, "--out", about="folder to write into")

    parser = command(commands, "report", report, "one HTML page with everything, to be opened offline")
    path(parser, "--results", about="results folder")
    path(parser, "--experiments", about="experiment.json files", nargs="+")
    path(parser, "--data-root", about="folder of the images, for examples of confused pairs", required=False)
    path(parser, "--out", about="HTML file to write")


def _listed(file: Path) -> list[Path]:
    try:
        return [Path(line) for line in file.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: no readable list of files, one a line ({error}).") from error


def experiment(settings: str, out: Path) -> None:
    from cocoop import io

    io.write_json(out, {"schema": 1, "kind": "experiment", **parsed(settings)})


def collect(metrics: Path, fewshot: list[Path], out: Path) -> None:
    from cocoop.reporting.records.records import collect

    collect(_listed(metrics), out, fewshot)


def tables(experiment: Path, records: Path, out: Path) -> None:
    from cocoop.reporting.tables import build_all

    build_all(experiment, records, out)


def paired(experiment: Path, metrics: Path, records: Path, out: Path) -> None:
    from cocoop.reporting.records.paired import build

    build(experiment, _listed(metrics), records, out)


def figures(experiment: Path, records: Path, runs: Path, out: Path) -> None:
    from cocoop.reporting import figures

    folders = _listed(runs)
    histories = [folder / "history.csv" for folder in folders if (folder / "history.csv").exists()]
    figures.build_all(experiment, records, [folder / "cost.json" for folder in folders], histories, out)


def report(results: Path, experiments: list[Path], data_root: Path | None, out: Path) -> None:
    from cocoop import io
    from cocoop.reporting.page import build

    build(results, [io.read_json(path, "experiment") for path in experiments], out, data_root)
