"""Options that several stages share."""

import argparse
import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from cocoop.config.draw import ALL, ALL_SHOTS
from cocoop.config.registry import Registry
from cocoop.config.specs import NOT_OF_THE_DATA, BackboneSpec, DatasetSpec
from cocoop.config.validation import not_valid, of_key, validate
from cocoop.errors import UserError, listed
from cocoop.planning.environment import BUDGET, DEVICE, JOBS_PER_GPU, OFFLINE, STATES, TENSORBOARD
from cocoop.splits import SUBSET


def command(commands: Any, name: str, stage: Callable[..., None], about: str) -> argparse.ArgumentParser:
    """A subcommand that calls `stage` with its options as keyword arguments."""
    parser = commands.add_parser(name, help=about, description=about)
    parser.set_defaults(stage=stage)
    return parser


def json_option(parser: argparse.ArgumentParser, flag: str, about: str) -> None:
    """Adds an option that takes a JSON object, as in the first line of a job's log."""
    parser.add_argument(flag, required=True, metavar="JSON", help=about)


def parsed(text: str, flag: str) -> dict[str, Any]:
    """Parses an option that takes a JSON object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UserError(
            f"{flag}: not a JSON object ({error}); the first line of a job's log shows a complete command."
        ) from error
    if not isinstance(value, dict):
        raise UserError(f"{flag}: expected a JSON object, got {type(value).__name__}.")
    return value


def dataset_option(text: str) -> DatasetSpec:
    """The dataset of --dataset, validated like a YAML file.

    What the workflow leaves out because it decides no result (title, prompts, advice for messages) is looked up in that file.
    """
    content = parsed(text, "--dataset")
    if set(content) != {"name", "settings"}:
        raise UserError(f"--dataset: expected the keys name and settings, got {listed(sorted(content))}.")
    name, settings = content["name"], content["settings"]
    if isinstance(name, str) and isinstance(settings, dict):
        settings = {"title": name, "template": "{}", **_words_of(name), **settings}
    validate(settings, "dataset", "--dataset: settings")
    return DatasetSpec(name, settings)


def _words_of(name: str) -> dict[str, Any]:
    with suppress(UserError):
        found = Registry().read("datasets", name, "--dataset")
        return {key: found[key] for key in NOT_OF_THE_DATA if key in found}
    return {}


def backbone_option(text: str) -> BackboneSpec:
    """The backbone of --backbone, validated like a YAML file."""
    content = parsed(text, "--backbone")
    name, files = content.pop("name", None), content.pop("files", None)
    validate({"label": "-", **content}, "backbone", "--backbone")
    return BackboneSpec(name=str(name), files=files, **content)


def path(parser: argparse.ArgumentParser, *flags: str, about: str, required: bool = True, **options: Any) -> None:
    parser.add_argument(*flags, type=Path, required=required, metavar="PATH", help=about, **options)


def configfile(parser: argparse.ArgumentParser) -> None:
    about = "configuration files as for snakemake; later files override earlier ones (default: the demo)"
    parser.add_argument("--configfile", type=Path, nargs="+", default=[], metavar="PATH", help=about)


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """The type of an option that takes an integer in a range (most: None for no upper limit)."""

    def number(text: str) -> int:
        value = int(text) if re.fullmatch(r"[+-]?[0-9]{1,20}", text) else None
        if value is None or value < least or (most is not None and value > most):
            limits = f">= {least}" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"expected an integer {limits}, got {text!r}")
        return value

    return number


SEED = whole(0, 2**32 - 1)  # as in workflow/schemas/config.schema.yaml


def shots_option(text: str) -> int:
    """The type of --shots: an integer from 1, or all."""
    return ALL_SHOTS if text == ALL else whole(1)(text)


def subset_option(text: str) -> str:
    """The type of --subset: all, base or new; base-2 and new-2 of the random halves number 2."""
    if not SUBSET.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected all, base, new, base-K or new-K with a number K, got {text!r}")
    return text


def template(text: str) -> str:
    """The type of --template, with the same rule as in a dataset's YAML file."""
    rule = of_key("dataset", "template")
    if not re.fullmatch(rule["pattern"], text):
        raise argparse.ArgumentTypeError(not_valid(text, rule))
    return text


def device() -> str:
    """The device of this job, from COCOOP_DEVICE (auto, cpu or cuda), which the workflow sets from the configuration.

    Of several GPUs, takes one that has room for another job (COCOOP_JOBS_PER_GPU).
    """
    wanted = os.environ.get(DEVICE, "auto")
    validate({DEVICE: wanted}, {"properties": {DEVICE: of_key("config", "device")}}, "environment")
    if wanted != "cpu":
        from cocoop import gpus

        gpus.take(_number(JOBS_PER_GPU, "jobs_per_gpu", 1))
    from cocoop.device import choose  # after `take`: importing torch here reads CUDA_VISIBLE_DEVICES

    return choose(wanted)


def budget_mb() -> int:
    """COCOOP_TEXT_BUDGET_MB, memory for the text encoder's activations in MB; affects speed, but results only by rounding."""
    from cocoop.text.prompt_encoder import DEFAULT_BUDGET_MB

    return _number(BUDGET, "text_budget_mb", DEFAULT_BUDGET_MB, " (megabytes)")


def states_mb() -> int:
    """COCOOP_IMAGE_STATES_MB, memory for states of the image tower's frozen layers; affects results only by rounding."""
    return _number(STATES, "image_states_mb", 0, " (megabytes)")


def _number(variable: str, key: str, default: int, unit: str = "") -> int:
    text, least = os.environ.get(variable, str(default)), of_key("config", key)["minimum"]
    if not re.fullmatch("[0-9]{1,20}", text) or int(text) < least:
        raise UserError(f"environment: {variable}: expected an integer >= {least}{unit}, got {text!r}.")
    return int(text)


def offline() -> bool:
    """Whether COCOOP_OFFLINE forbids downloads, so that missing files are reported instead."""
    return os.environ.get(OFFLINE, "") not in ("", "0")


def tensorboard() -> bool:
    """Whether COCOOP_TENSORBOARD asks for live curves of trainings."""
    return os.environ.get(TENSORBOARD, "") not in ("", "0")


def decoders() -> int:
    """The default of --workers: one less than the job's threads, because one process encodes what the others decode."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return max(0, int(threads) - 1) if re.fullmatch("[0-9]{1,4}", threads) else 0
