"""Options that several stages share."""

import argparse
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cocoop.config.environment import BUDGET, COMPILE, DEVICE
from cocoop.config.validation import validate
from cocoop.errors import UserError


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
            f"--settings: no JSON object ({error}); the first line of a job's log is a whole command."
        ) from error
    if not isinstance(value, dict):
        raise UserError(f"--settings: expected a JSON object, found {type(value).__name__}.")
    if shape:
        validate(value, shape, "--settings")
    return value


def path(parser: argparse.ArgumentParser, *flags: str, about: str, required: bool = True, **options: Any) -> None:
    parser.add_argument(*flags, type=Path, required=required, metavar="PATH", help=about, **options)


def device() -> str:
    """The device a job runs on: COCOOP_DEVICE (auto, cpu or cuda), which the workflow sets from the configuration."""
    from cocoop.training.device import choose

    return choose(os.environ.get(DEVICE, "auto"))


def budget_mb() -> int:
    """COCOOP_TEXT_BUDGET_MB, memory for the text tower's activations; changes speed, never results beyond rounding."""
    from cocoop.clip.prompt_encoder import DEFAULT_BUDGET_MB

    text = os.environ.get(BUDGET, str(DEFAULT_BUDGET_MB))
    if not text.isdigit():
        raise UserError(f"{BUDGET}: {text!r} is no number of megabytes.")
    return int(text)


def compiled() -> str:
    """COCOOP_COMPILE (auto, on or off): torch.compile the text tower for training; changes speed, never results beyond rounding."""
    text = os.environ.get(COMPILE, "auto")
    if text not in ("auto", "on", "off"):
        raise UserError(f"{COMPILE}: {text!r} is none of auto, on, off.")
    return text
