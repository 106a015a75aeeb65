"""The stages of the workflow and the patterns of their files, which define all paths for rules, plans and `status`.

A path describes its result in words and ends with the identity of its settings, so results of different settings never get
mixed up, regardless of Snakemake's records. No code parses a path.
"""

from collections.abc import Mapping
from dataclasses import dataclass

DRAW = "{backbone}/{dataset}/{subset}/shots{shots}/seeds{seeds}/{id}"
RUN = "{backbone}/{dataset}/{subset}/{variant}/shots{shots}/seeds{seeds}/{id}"
TEST = f"{RUN}/tests/{{target}}/{{subsets}}/{{test}}"
EXPERIMENT = "results/experiments/{experiment}"


@dataclass(frozen=True)
class Stage:
    """A rule of the workflow.

    Attributes:
        outputs: patterns of its output files by name.
        log: pattern of its log file.
        usage: pattern of the file with the time and memory of a job that needs a GPU; None for other jobs.
    """

    name: str
    outputs: Mapping[str, str]
    log: str
    usage: str | None = None


def _gpu(name: str, tail: str, outputs: Mapping[str, str]) -> Stage:
    return Stage(name, outputs, f"results/logs/{name}/{tail}.log", f"results/usage/{name}/{tail}.json")


def _of_experiment(name: str, **outputs: str) -> Stage:
    files = {key: f"{EXPERIMENT}/{file}" for key, file in outputs.items()}
    return Stage(name, files, f"results/logs/{name}/{{experiment}}.log")


DOWNLOAD = Stage(
    "download",
    {"stamp": "{data_root}/.sources/{dataset}-{id}{again}.json"},
    "results/logs/download/{dataset}-{id}{again}.log",
)
MANIFEST = Stage(
    "manifest",
    {"manifest": "results/datasets/{dataset}/{id}/manifest.json"},
    "results/logs/manifest/{dataset}-{id}.log",
)
FEWSHOT = Stage(
    "fewshot",
    {"fewshot": "results/datasets/{dataset}/{id}/fewshot/shots{shots}_seed{seed}{draw}.json"},
    "results/logs/fewshot/{dataset}-{id}/shots{shots}_seed{seed}{draw}.log",
)
TEXT_TOWER = Stage(
    "text_tower",
    {"text_tower": "results/backbones/{backbone}/{id}/text_tower.safetensors"},
    "results/logs/text_tower/{backbone}-{id}.log",
)
FEATURES = _gpu(
    "features", "{backbone}/{dataset}/{id}", {"features": "results/features/{backbone}/{dataset}/{id}/test.safetensors"}
)
VIEWS = _gpu("views", f"{DRAW}/{{views}}", {"views": f"results/views/{DRAW}/{{views}}.safetensors"})
TRAIN = _gpu(
    "train",
    RUN,
    {name: f"results/runs/{RUN}/{file}" for name, file in
     (("learned", "learned.safetensors"), ("history", "history.csv"), ("cost", "cost.json"))},
)  # fmt: skip
EVALUATE = _gpu(
    "evaluate",
    TEST,
    {name: f"results/runs/{TEST}/{file}" for name, file in
     (("metrics", "metrics.json"), ("predictions", "predictions.safetensors"), ("cost", "cost.json"))},
)  # fmt: skip
# The next two stages record the configuration; each deletes the file of the previous configuration.
CONFIGURATION = Stage(
    "configuration", {"configuration": "results/configuration-{id}.json"}, "results/logs/configuration-{id}.log"
)
CONTENT = Stage(
    "experiment",
    {"experiment": f"{EXPERIMENT}/experiment-{{id}}.json"},
    "results/logs/experiment/{experiment}-{id}.log",
)
COLLECT = _of_experiment("collect", records="records.csv", seal="records.csv.sha256", notes="records.csv.notes.json")
TABLES = _of_experiment("tables", tables="tables")
PAIRED = _of_experiment("paired", paired="paired")
FIGURES = _of_experiment("figures", figures="figures")
PAGE = Stage("page", {"page": "results/report.html"}, "results/logs/report.log")

ORDER = (
    DOWNLOAD, MANIFEST, TEXT_TOWER, FEWSHOT, FEATURES, VIEWS, TRAIN, EVALUATE,
    CONFIGURATION, CONTENT, COLLECT, TABLES, PAIRED, FIGURES, PAGE,
)  # fmt: skip
