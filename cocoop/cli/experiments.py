"""The stages after evaluation: records, tables, figures, report. None of them imports torch."""

from pathlib import Path
from typing import Any

from cocoop.cli.arguments import command, json_option, parsed, path
from cocoop.errors import UserError


def add(commands: Any) -> None:
    """Adds configuration, experiment, collect, tables, figures, paired and report."""
    for stage, about in (
        (configuration, "record which experiments the results folder contains"),
        (experiment, "record what an experiment consists of"),
    ):
        parser = command(commands, stage.__name__, stage, about)
        json_option(parser, "--settings", "content of the file")
        path(parser, "--out", about="JSON file to write; other files of its kind in the same folder are deleted")

    parser = command(commands, "collect", collect, "collect metrics files in one tidy table")
    path(parser, "--metrics", about="file that lists metrics.json files, one per line")
    about = "few-shot selections of the runs, to note classes with fewer images than shots"
    path(parser, "--fewshot", about=about, nargs="*", required=False, default=[])
    path(parser, "--out", about="records.csv; its checksum and notes are written to the same folder")

    parser = command(commands, "tables", tables, "write an experiment's tables as CSV, Markdown and LaTeX")
    path(parser, "--experiment", about="experiment.json")
    path(parser, "--records", about="records.csv")
    about = "file that lists cost.json files of runs and evaluations, one per line, for the table of costs"
    path(parser, "--costs", about=about, required=False)
    path(parser, "--out", about="folder to write into")

    parser = command(commands, "paired", paired, "compare variants over the same test images, seeds and datasets")
    path(parser, "--experiment", about="experiment.json")
    path(parser, "--metrics", about="file that lists metrics.json files, one per line")
    path(parser, "--records", about="records.csv")
    path(parser, "--out", about="folder to write into")

    parser = command(commands, "figures", figures, "draw an experiment's figures as SVG and PNG")
    path(parser, "--experiment", about="experiment.json")
    path(parser, "--records", about="records.csv")
    path(parser, "--costs", about="file that lists cost.json files of runs and evaluations, one per line")
    path(parser, "--histories", about="file that lists history.csv files of runs, one per line")
    about = "file that lists metrics.json files, one per line, for the figures of measures"
    path(parser, "--metrics", about=about, required=False)
    path(parser, "--out", about="folder to write into")

    parser = command(commands, "report", report, "write one HTML page with all results that works offline")
    path(parser, "--results", about="results folder")
    path(parser, "--experiments", about="experiment.json files", nargs="+")
    path(parser, "--metrics", about="file that lists metrics.json files, one per line")
    path(parser, "--manifests", about="manifest.json of each dataset", nargs="+")
    path(parser, "--data-root", about="folder of all datasets, for example images of confused classes", required=False)
    path(parser, "--out", about="HTML file to write")


def _listed(file: Path) -> list[Path]:
    try:
        return [Path(line) for line in file.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: expected a list of files, one per line ({error}).") from error


def configuration(settings: str, out: Path) -> None:
    _write_only(out, "configuration", settings)


def experiment(settings: str, out: Path) -> None:
    _write_only(out, "experiment", settings)


def _write_only(out: Path, kind: str, settings: str) -> None:
    """Writes the file of the current configuration and deletes those of earlier ones, so that it is newer than their results."""
    from cocoop import io

    io.write_json(out, {"kind": kind, **parsed(settings, "--settings")})
    for other in out.parent.glob(f"{kind}-*.json"):
        if other != out:
            other.unlink(missing_ok=True)


def collect(metrics: Path, fewshot: list[Path], out: Path) -> None:
    from cocoop.reporting.records.records import collect

    collect(_listed(metrics), out, fewshot)


def tables(experiment: Path, records: Path, costs: Path | None, out: Path) -> None:
    from cocoop.reporting.tables import build_all

    build_all(experiment, records, out, _listed(costs) if costs else ())


def paired(experiment: Path, metrics: Path, records: Path, out: Path) -> None:
    from cocoop.reporting.tables.comparison import build

    build(experiment, _listed(metrics), records, out)


def figures(experiment: Path, records: Path, costs: Path, histories: Path, metrics: Path | None, out: Path) -> None:
    from cocoop.reporting import figures

    found = _listed(metrics) if metrics else ()
    figures.build_all(experiment, records, _listed(costs), _listed(histories), out, found)


def report(
    results: Path, experiments: list[Path], metrics: Path, manifests: list[Path], data_root: Path | None, out: Path
) -> None:
    from cocoop import io
    from cocoop.reporting.page import build

    contents = [io.read_json(path, "experiment") for path in experiments]
    build(results, contents, _listed(metrics), manifests, out, data_root)
