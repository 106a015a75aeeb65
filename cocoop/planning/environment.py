"""Environment variables by which a job learns what changes its speed and not its result. The workflow sets them for every job."""

from collections.abc import Mapping
from typing import Any

DEVICE, BUDGET = "COCOOP_DEVICE", "COCOOP_TEXT_BUDGET_MB"


def environment(config: Mapping[str, Any]) -> dict[str, str]:
    """Those that a configuration sets, by name."""
    return {DEVICE: config["device"], BUDGET: str(config["text_budget_mb"])}
