"""Environment variables that the workflow sets for every job: settings that do not affect results."""

from collections.abc import Mapping
from typing import Any

DEVICE, OFFLINE, JOBS_PER_GPU = "COCOOP_DEVICE", "COCOOP_OFFLINE", "COCOOP_JOBS_PER_GPU"
BUDGET, STATES = "COCOOP_TEXT_BUDGET_MB", "COCOOP_IMAGE_STATES_MB"
TENSORBOARD = "COCOOP_TENSORBOARD"
ALL = (DEVICE, JOBS_PER_GPU, BUDGET, STATES, OFFLINE, TENSORBOARD)


def environment(config: Mapping[str, Any]) -> dict[str, str]:
    """The variables of a configuration."""
    budgets = {BUDGET: str(config["text_budget_mb"]), STATES: str(config["image_states_mb"])}
    jobs = config.get("jobs_per_gpu", 1)
    sharing = {JOBS_PER_GPU: str(jobs)} if jobs > 1 else {}
    flags = {OFFLINE: config["offline"], TENSORBOARD: config.get("tensorboard", False)}
    return {DEVICE: config["device"], **sharing, **budgets} | {name: "1" for name, wanted in flags.items() if wanted}
