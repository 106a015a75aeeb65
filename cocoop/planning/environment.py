"""Environment variables that the workflow sets for every job: what may differ without changing any result."""

from collections.abc import Mapping
from typing import Any

DEVICE, BUDGET, OFFLINE = "COCOOP_DEVICE", "COCOOP_TEXT_BUDGET_MB", "COCOOP_OFFLINE"
ALL = (DEVICE, BUDGET, OFFLINE)


def environment(config: Mapping[str, Any]) -> dict[str, str]:
    """Those that a configuration sets, by name."""
    found = {DEVICE: config["device"], BUDGET: str(config["text_budget_mb"])}
    return found | ({OFFLINE: "1"} if config["offline"] else {})
