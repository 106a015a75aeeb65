"""Environment variables that the workflow sets for every job: settings that do not affect results."""

from collections.abc import Mapping
from typing import Any

DEVICE, OFFLINE = "COCOOP_DEVICE", "COCOOP_OFFLINE"
BUDGET, STATES = "COCOOP_TEXT_BUDGET_MB", "COCOOP_IMAGE_STATES_MB"
TENSORBOARD = "COCOOP_TENSORBOARD"
ALL = (DEVICE, BUDGET, STATES, OFFLINE, TENSORBOARD)


def environment(config: Mapping[str, Any]) -> dict[str, str]:
    """The variables of a configuration."""
    budgets = {BUDGET: str(config["text_budget_mb"]), STATES: str(config["image_states_mb"])}
    variables = {DEVICE: config["device"], **budgets}
    flags = {OFFLINE: config["offline"], TENSORBOARD: config.get("tensorboard", False)}
    return variables | {name: "1" for name, wanted in flags.items() if wanted}
