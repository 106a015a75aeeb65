"""Assembles the page from the experiments' files and renders it."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cocoop import __version__, io
from cocoop.manifest import Manifest
from cocoop.reporting import figures, tables
from cocoop.reporting.page.classes import Group, group
from cocoop.reporting.page.evaluations import Evaluated, find
from cocoop.reporting.page.pictures import Examples, data_uri
from cocoop.reporting.records import experiment as experiments_of
from cocoop.reporting.records import records
from cocoop.reporting.records.cost import PER_VARIANT
from cocoop.reporting.records.text import count, per_cent
from cocoop.reporting.tables import comparison, paper, published, stacking

FOLDER = Path(__file__).parent
HARDEST_CLASSES = 60
FIGURE_TITLES = {
    "change_vs_clip": "Change against CLIP",
    "change_vs_coop": "Change against CoOp",
    "few_shot_curves": "Accuracy over the number of shots",
    "h_against_parameters": "H against trained parameters",
    "reliability": "Reliability: accuracy against confidence",
    "risk_coverage": "Risk and coverage: error of the most confident answers",
    "ablation": "Initialization and context length",
    "training_curves": "Training curves",
    "cost": "Cost of a run",
    "accuracy_against_cost": "Accuracy against cost",
    figures.ACROSS: "Accuracy against the cost of the image encoder",
}


def build(
    results: Path,
    experiments: Sequence[Mapping[str, Any]],
    metrics: Sequence[Path],
    manifests: Sequence[Path],
    out: Path,
    data_root: Path | None = None,
) -> None:
    """Writes a self-contained page that opens offline. Reads results/experiments/NAME/{records.csv, figures, paired}.

    experiments: contents of experiment.json files. metrics: metrics.json of each evaluation. manifests: manifest.json of
    each dataset. data_root: folder of the images, for examples of confused pairs.
    Missing parts are left out of the page, and missing runs are named in its tables.
    """
    jobs = find(results, metrics, experiments)
    examples = {manifest.dataset: Examples(manifest, data_root) for manifest in map(Manifest.load, manifests)}
    titles: dict[str, str] = {}
    for experiment in experiments:
        titles |= experiments_of.dataset_titles(experiment)
    papers = paper.load()
    shown = [_experiment(results, experiment, papers) for experiment in experiments]
    content = {
        "version": __version__,
        "experiments": shown,
        "published": _published(experiments, [about["tables"][0].tidy for about in shown], papers),
        "backbones": list(
            dict.fromkeys(one["backbone"]["label"] for e in experiments for one in experiments_of.of_each(e))
        ),
        "datasets": list(_datasets(group(jobs, titles), titles, examples)),
        "variants": _variants(jobs),
        "jobs": [_run(job, titles, out.parent) for job in jobs],
        "places": _places(jobs),
    }
    io.write_text(out, _environment().get_template("page.html").render(content))


def _environment() -> Environment:
    """The template environment, which escapes everything that is put into the page except what a template marks as safe."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"per_cent": per_cent, "count": count}
    return environment


def _measured(cost: Path) -> pd.DataFrame:
    """The costs of an experiment's variants, from the file of the tables stage; `draw` is a text, also an empty one."""
    found = pd.read_csv(cost, dtype={"draw": "str"})
    return found[[column for column in PER_VARIANT if column in found]].fillna({"draw": ""})


def _experiment(results: Path, experiment: Mapping[str, Any], papers: Mapping[str, paper.PaperTable]) -> dict[str, Any]:
    folder = results / "experiments" / experiment["name"]
    several = len(experiments_of.of_each(experiment)) > 1
    drawn = {folder / "figures" / f"{name}.svg": figure for name, figure in figures.files(experiment).items()}
    path, cost = folder / "records.csv", folder / "tables" / f"{tables.COST}.csv"
    measured = _measured(cost) if cost.exists() else None
    built = tables.build(experiment, records.load(path), papers, records.load_notes(path), measured)
    return {
        "name": experiment["name"],
        "title": experiment["title"],
        "caption": built[0].caption,
        "several": several,
        "tables": built,
        "figures": [_figure(path, _title(figure, several)) for path, figure in drawn.items() if path.exists()],
        "paired": comparison.load(experiment, folder / "paired"),
    }


def _title(figure: figures.Figure, several: bool) -> str:
    of = f" ({figure.backbone['label']})" if several and figure.backbone else ""
    return FIGURE_TITLES[figure.kind] + of


def _published(
    experiments: Sequence[Mapping[str, Any]], summaries: Sequence[pd.DataFrame], papers: Mapping[str, paper.PaperTable]
) -> list[tables.Table]:
    """The published numbers of the files that the experiments name, with ours among them."""
    named = {experiment["paper"] for experiment in experiments}
    ours = [
        (one, part)
        for experiment, summary in zip(experiments, summaries, strict=True)
        for one, part in stacking.of_each(experiment, summary)
    ]
    return published.tables([table for name, table in papers.items() if name in named], ours)


def _figure(path: Path, title: str) -> dict[str, str]:
    return {"title": title, "uri": data_uri(path.read_bytes(), "image/svg+xml")}


def _datasets(
    groups: Sequence[Group], titles: Mapping[str, str], examples: Mapping[str, Examples]
) -> Iterator[dict[str, Any]]:
    """The classes of each dataset and subset, hardest first, and the pairs that each series confuses most."""
    for target in dict.fromkeys(found.target for found in groups):
        subsets = [_subset(found, examples[target]) for found in groups if found.target == target]
        yield {"name": target, "title": titles[target], "subsets": subsets}


def _subset(found: Group, examples: Examples) -> dict[str, Any]:
    rows = found.rows()
    confusions = []
    for tally in found.series.values():
        most = tally.most_confused()
        pictures = examples.confused(tally, found.subset, [(true, predicted) for true, predicted, _ in most])
        pairs = [
            {"true": found.names[t], "predicted": found.names[p], "count": n, "pictures": pictures.get((t, p), [])}
            for t, p, n in most
        ]
        confusions.append({"label": tally.label, "pairs": pairs})
    labels = [tally.label for tally in found.series.values()]
    left_out = max(0, len(rows) - HARDEST_CLASSES)
    return {
        "subset": found.subset,
        "labels": labels,
        "rows": rows[:HARDEST_CLASSES],
        "left_out": left_out,
        "confusions": confusions,
    }


def _variants(jobs: Sequence[Evaluated]) -> list[dict[str, Any]]:
    """Each variant once, with its settings and all numbers of trained parameters and epochs, which may depend on the dataset."""
    found: dict[str, dict[str, Any]] = {}
    for job in jobs:
        settings = job.settings
        entry = found.setdefault(
            settings["variant"], {**settings, "label": job.label, "parameters": set(), "epochs": set()}
        )
        entry["parameters"].add(job.parameters["trained"])
        if settings["training"]:
            entry["epochs"].add(settings["training"]["epochs"])
    return [
        {**entry, "parameters": sorted(entry["parameters"]), "epochs": sorted(entry["epochs"])}
        for entry in found.values()
    ]


def _run(job: Evaluated, titles: Mapping[str, str], folder: Path) -> dict[str, Any]:
    links = {name: os.path.relpath(path, folder).replace(os.sep, "/") for name, path in job.files.items()}
    trained = (
        f"{titles[job.settings['dataset']]} ({job.settings['subset']}{job.draw and f', {job.draw}'})"
        if job.settings["shots"]
        else "not trained"
    )
    return {
        "settings": job.settings,
        "label": job.name,
        "json": io.canonical_json(job.settings),
        "trained": trained,
        "target": titles[job.target],
        "subsets": ", ".join(job.subsets),
        "links": links,
    }


def _places(jobs: Sequence[Evaluated]) -> list[dict[str, Any]]:
    """Each combination of versions, commit and device, and how many evaluations ran on it."""
    counts = Counter(io.canonical_json(job.provenance) for job in jobs)
    described = {io.canonical_json(job.provenance): job.provenance for job in jobs}
    return [{"count": number, **described[text]} for text, number in counts.most_common() if described[text]]
