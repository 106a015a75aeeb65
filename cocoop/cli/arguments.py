"""Options that several stages share."""

import argparse
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cocoop.config.validation import of_key, validate
from cocoop.errors import UserError
from cocoop.planning.environment import BUDGET, COMPILE, DEVICE

SETTINGS = "--settings"


def command(commands: Any, name: str, stage: Callable[..., None], about: str) -> argparse.ArgumentParser:
    """A subcommand that calls `stage` with its options as keyword arguments."""
    parser = commands.add_parser(name, help=about, description=about)
    parser.set_defaults(stage=stage)
    return parser


def settings(parser: argparse.ArgumentParser, about: str) -> None:
    """--settings: one JSON object, as the workflow writes it into the job's log."""
    parser.add_argument("--settings", required=True, metavar="JSON", help=about)


def parsed(text: str, shape: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The object of a --settings option, checked against a JSON schema."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UserError(
            f"{SETTINGS}: no JSON object ({error}); the first line of a job's log is a whole command."
        ) from error
    if not isinstance(value, dict):
        raise UserError(f"{SETTINGS}: expected a JSON object, found {type(value).__name__}.")
    if shape:
        validate(value, shape, SETTINGS)
    return value


def path(parser: argparse.ArgumentParser, *flags: str, about: str, required: bool = True, **options: Any) -> None:
    parser.add_argument(*flags, type=Path, required=required, metavar="PATH", help=about, **options)


def configfile(parser: argparse.ArgumentParser) -> None:
    about = "as for snakemake: exactly these files, the later laid over the earlier; without it the demo"
    parser.add_argument("--configfile", type=Path, nargs="+", default=[], metavar="PATH", help=about)


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """The type of an option that takes a whole number in a range."""

    def number(text: str) -> int:
        value = int(text) if re.fullmatch(r"[+-]?[0-9]{1,20}", text) else None
        if value is None or value < least or (most is not None and value > most):
            to = "" if most is None else f" to {most}"
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least}{to}")
        return value

    return number


SEED = whole(0, 2**32 - 1)  # as in workflow/schemas/config.schema.yaml


def template(text: str) -> str:
    """The type of --template: what a dataset's YAML file takes."""
    rule = of_key("dataset", "template")
    if not re.fullmatch(rule["pattern"], text):
        raise argparse.ArgumentTypeError(f"{text!r} does not fit: {rule['description'].rstrip('.')}")
    return text


def subsets(text: str) -> list[str]:
    """The type of --subsets: base+new is ["base", "new"]."""
    names, known = text.split("+"), of_key("experiment", "target_subsets")["items"]["enum"]
    if len(set(names)) < len(names) or not set(names) <= set(known):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not {', '.join(known)}, or several of them joined by +, each once"
        )
    return names


def device() -> str:
    """The device a job runs on: COCOOP_DEVICE (auto, cpu or cuda), which the workflow sets from the configuration."""
    validate(
        {DEVICE: os.environ.get(DEVICE, "auto")}, {"properties": {DEVICE: of_key("config", "device")}}, "environment"
    )
    from cocoop.device import choose

    return choose(os.environ.get(DEVICE, "auto"))


def budget_mb() -> int:
    """COCOOP_TEXT_BUDGET_MB, memory for the text tower's activations; changes speed, never results beyond rounding."""
    from cocoop.text.prompt_encoder import DEFAULT_BUDGET_MB

    text, least = os.environ.get(BUDGET, str(DEFAULT_BUDGET_MB)), of_key("config", "text_budget_mb")["minimum"]
    if not re.fullmatch("[0-9]{1,20}", text) or int(text) < least:
        raise UserError(f"{BUDGET}: {text!r} is no number of megabytes from {least}.")
    return int(text)


def compiled() -> str:
    """COCOOP_COMPILE (auto, on or off): torch.compile the text tower for training; changes speed, never results beyond rounding."""
    text = os.environ.get(COMPILE, "auto")
    if text not in ("auto", "on", "off"):
        raise UserError(f"{COMPILE}: {text!r} is none of auto, on, off.")
    return text
