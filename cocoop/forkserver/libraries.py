"""The libraries that a stage imports, which the server imports before it forks. Other stages start quickly by themselves."""

SETTINGS = ("jsonschema", "pydantic.dataclasses", "pydantic.type_adapter")
TORCH = (*SETTINGS, "torch", "torch.nn.functional", "open_clip", "safetensors.torch", "PIL.Image")
AHEAD = {"download": "manifest"}
"""Stages that run by themselves, and the one that follows: the server imports for that one meanwhile."""
TABLES = ("pandas", "scipy.stats", "tabulate", "jsonschema")
OF_STAGES = {
    "manifest": TORCH,
    "fewshot": SETTINGS,
    "text-tower": TORCH,
    "features": TORCH,
    "views": TORCH,
    "train": TORCH,
    "evaluate": TORCH,
    "collect": TABLES,
    "tables": TABLES,
    "paired": (*TABLES, "statsmodels.stats.multitest"),
    "figures": (*TABLES, "matplotlib.pyplot", "seaborn"),
    "report": (*TABLES, "jinja2", "PIL.Image"),
}
