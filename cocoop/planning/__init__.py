"""Expands a configuration into runs, evaluations and jobs. Does not import torch."""

from cocoop.planning.plan import Plan, experiment_content, experiment_file

__all__ = ["Plan", "experiment_content", "experiment_file"]
