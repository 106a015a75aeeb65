"""Environment variables that the workflow sets for every job: settings that do not affect results."""

from collections.abc import Mapping
from typing import Any

DEVICE, OFFLINE = "COCOOP_DEVICE", "COCOOP_OFFLINE"
BUDGET, STATES = "COCOOP_TEXT_BUDGET_MB", "COCOOP_IMAGE_STATES_MB"
ALL = (DEVICE, BUDGET, STATES, OFFLINE)


def environment(config: Mapping[str, Any]) -> dict[str, str]:
    """The variables of a configuration."""
    budgets = {BUDGET: str(config["text_budget_mb"]), STATES: str(config["image_states_mb"])}
    variables = {DEVICE: config["device"], **budgets}
    return variables | ({OFFLINE: "1"} if config["offline"] else {})
