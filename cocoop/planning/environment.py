"""Environment variables that the workflow sets for every job: settings that do not affect results."""

from collections.abc import Mapping
from typing import Any

DEVICE, OFFLINE, JOBS_PER_GPU = "COCOOP_DEVICE", "COCOOP_OFFLINE", "COCOOP_JOBS_PER_GPU"
BUDGET, STATES = "COCOOP_TEXT_BUDGET_MB", "COCOOP_IMAGE_STATES_MB"
ALL = (DEVICE, JOBS_PER_GPU, BUDGET, STATES, OFFLINE)


def environment(config: Mapping[str, Any]) -> dict[str, str]:
    """The variables of a configuration."""
    budgets = {BUDGET: str(config["text_budget_mb"]), STATES: str(config["image_states_mb"])}
    jobs = config.get("jobs_per_gpu", 1)
    sharing = {JOBS_PER_GPU: str(jobs)} if jobs > 1 else {}
    return {DEVICE: config["device"], **sharing, **budgets} | ({OFFLINE: "1"} if config["offline"] else {})
