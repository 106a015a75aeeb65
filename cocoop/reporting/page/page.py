"""Assembles the page from the experiments' files and renders it."""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cocoop import __version__, io
from cocoop.config.draw import shots_text
from cocoop.errors import counted, listed
from cocoop.manifest import Manifest
from cocoop.reporting.figures import looks
from cocoop.reporting.page.classes import Group, group
from cocoop.reporting.page.evaluations import Evaluated, find
from cocoop.reporting.page.pictures import Examples
from cocoop.reporting.page.sections import link_to, published, section
from cocoop.reporting.page.view import Names
from cocoop.reporting.records import experiment as experiments_of
from cocoop.reporting.records.text import count, per_cent
from cocoop.reporting.tables import paper

FOLDER = Path(__file__).parent
HARDEST_CLASSES = 60
MANY_DATASETS, MANY_VARIANTS = 4, 4  # with more than these, the page has filters


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
    names, papers = Names(experiments), paper.load()
    shown = [section(results, experiment, papers, names, out.parent) for experiment in experiments]
    each = [one for experiment in experiments for one in experiments_of.of_each(experiment)]
    content: dict[str, Any] = {
        "version": __version__,
        "experiments": shown,
        "published": published(experiments, [part["summary"] for part in shown], papers, names),
        "backbones": list(dict.fromkeys(one["backbone"]["label"] for one in each)),
        "datasets": list(_datasets(group(jobs, titles), titles, examples, names)),
        "variants": _variants(jobs, names),
        "jobs": [_run(job, titles, names, out.parent) for job in jobs],
        "places": _places(jobs),
        "origin": _origin(jobs),
    }
    later = {"published": "Published numbers", "variants": "Variants", "datasets": "Datasets: classes and confusions",
             "places": "Versions and machines", "jobs": "Runs: settings and logs"}  # fmt: skip
    ids = {"places": "versions", "jobs": "runs"}
    content["later"] = {ids.get(key, key): title for key, title in later.items() if content[key]}
    content["many"] = len(names.datasets) > MANY_DATASETS or len(names.variants) > MANY_VARIANTS
    content["filters"] = {
        "datasets": [(name, title, None) for name, title in names.datasets],
        "methods": [(name, label, names.look(name)) for name, label in names.variants],
    }
    parts = (len(experiments), "experiment", "experiments"), (len(titles), "dataset", "datasets"), (
        len(names.variants), "variant", "variants"), (len(jobs), "evaluation", "evaluations")  # fmt: skip
    content["summary"] = f"{', '.join(counted(*part) for part in parts)}."
    io.write_text(out, _environment().get_template("page.html").render(content | _code(names)))


def _environment() -> Environment:
    """The template environment, which escapes everything that is put into the page except what is `Markup`."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"per_cent": per_cent, "count": count}
    return environment


def _code(names: Names) -> dict[str, str]:
    """The style sheet with the colours of the methods, the script, and a policy that lets a browser use nothing else."""
    colors = "".join(
        f".look{place} {{ background: {looks.css_color(place)}; }}\n" for place in sorted(set(names.places.values()))
    )
    style = (FOLDER / "style.css").read_text(encoding="utf-8") + colors
    script = (FOLDER / "page.js").read_text(encoding="utf-8")
    policy = f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    return {"style": Markup(style), "script": Markup(script), "policy": policy}


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _origin(jobs: Sequence[Evaluated]) -> str:
    """When the evaluations ran, and with which commits of the code, as far as their cost.json tells."""
    days = sorted({job.day for job in jobs if job.day})
    commits = sorted({str(job.provenance["commit"]) for job in jobs if job.provenance.get("commit")})
    when = " to ".join(dict.fromkeys((days[0], days[-1]))) if days else ""
    by = f"commit{'s' if len(commits) > 1 else ''} {listed(map(_short, commits), 3)}" if commits else ""
    return f"Computed {' with '.join(filter(None, (when, by)))}." if when or by else ""


def _short(commit: str) -> str:
    return commit[:10] + (" (with changes)" if commit.endswith("+") else "")


def _datasets(
    groups: Sequence[Group], titles: Mapping[str, str], examples: Mapping[str, Examples], names: Names
) -> Iterator[dict[str, Any]]:
    """The classes of each dataset and subset, hardest first, and the pairs that each series confuses most."""
    for target in dict.fromkeys(found.target for found in groups):
        subsets = [_subset(found, examples[target], names) for found in groups if found.target == target]
        yield {"name": target, "title": titles[target], "subsets": subsets}


def _subset(found: Group, examples: Examples, names: Names) -> dict[str, Any]:
    rows = found.rows()
    series = []
    for tally in found.series.values():
        variant = tally.job.settings["variant"]
        most = tally.most_confused()
        pictures = examples.confused(tally, found.subset, [(true, predicted) for true, predicted, _ in most])
        pairs = [
            {"true": found.names[t], "predicted": found.names[p], "count": n, "pictures": pictures.get((t, p), [])}
            for t, p, n in most
        ]
        series.append({"label": tally.label, "variant": variant, "look": names.look(variant), "pairs": pairs})
    left_out = max(0, len(rows) - HARDEST_CLASSES)
    return {"subset": found.subset, "series": series, "rows": rows[:HARDEST_CLASSES], "left_out": left_out}


def _variants(jobs: Sequence[Evaluated], names: Names) -> list[dict[str, Any]]:
    """Each variant once, with its settings and all numbers of trained parameters and epochs, which may depend on the dataset."""
    found: dict[str, dict[str, Any]] = {}
    for job in jobs:
        settings = job.settings
        own: dict[str, Any] = {
            "label": job.label,
            "look": names.look(settings["variant"]),
            "parameters": set(),
            "epochs": set(),
        }
        entry = found.setdefault(settings["variant"], {**settings, **own})
        entry["parameters"].add(job.parameters["trained"])
        if settings["training"]:
            entry["epochs"].add(settings["training"]["epochs"])
    return [
        {**entry, "parameters": sorted(entry["parameters"]), "epochs": sorted(entry["epochs"])}
        for entry in found.values()
    ]


def _run(job: Evaluated, titles: Mapping[str, str], names: Names, folder: Path) -> dict[str, Any]:
    settings = job.settings
    trained = f"{titles[settings['dataset']]} ({settings['subset']}{job.draw and f', {job.draw}'})"
    return {
        "settings": settings,
        "label": job.name,
        "look": names.look(settings["variant"]),
        "json": io.canonical_json(settings),
        "trained": trained if settings["shots"] else "not trained",
        "shots": shots_text(settings["shots"]),
        "target": job.target,
        "title": titles[job.target],
        "subsets": ", ".join(job.subsets),
        "links": {name: link_to(path, folder) for name, path in job.files.items()},
    }


def _places(jobs: Sequence[Evaluated]) -> list[dict[str, Any]]:
    """Each combination of versions, commit and device, and how many evaluations ran on it."""
    counts = Counter(io.canonical_json(job.provenance) for job in jobs)
    described = {io.canonical_json(job.provenance): job.provenance for job in jobs}
    return [{"count": number, **described[text]} for text, number in counts.most_common() if described[text]]
