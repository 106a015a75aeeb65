"""Environment variables by which a job learns what changes its speed and not its result. The workflow sets them for every job."""

from collections.abc import Mapping
from typing import Any

DEVICE, BUDGET, COMPILE = "COCOOP_DEVICE", "COCOOP_TEXT_BUDGET_MB", "COCOOP_COMPILE"


def environment(config: Mapping[str, Any]) -> dict[str, str]:
    """Those that a configuration sets, by name."""
    found = {DEVICE: config["device"], BUDGET: str(config["text_budget_mb"])}
    compiled = {True: "on", False: "off"}.get(config.get("compile", "auto"))
    return found | ({COMPILE: compiled} if compiled else {})
