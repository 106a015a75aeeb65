"""From a configuration to the runs, evaluations and jobs it asks for. Does not import torch."""

from cocoop.planning.plan import Plan, experiment_content, experiment_file

__all__ = ["Plan", "experiment_content", "experiment_file"]
