"""Environment variables that the workflow sets for every job: settings that do not affect results."""

from collections.abc import Mapping
from typing import Any

DEVICE, BUDGET, OFFLINE = "COCOOP_DEVICE", "COCOOP_TEXT_BUDGET_MB", "COCOOP_OFFLINE"
ALL = (DEVICE, BUDGET, OFFLINE)


def environment(config: Mapping[str, Any]) -> dict[str, str]:
    """The variables of a configuration."""
    variables = {DEVICE: config["device"], BUDGET: str(config["text_budget_mb"])}
    return variables | ({OFFLINE: "1"} if config["offline"] else {})
