"""Reading the configuration: registries of YAML files and the typed values they hold. Does not import torch."""

from cocoop.config.experiment import ExperimentSpec
from cocoop.config.registry import Registry
from cocoop.config.specs import BackboneSpec, DatasetSpec, TrainingSpec, VariantSpec

__all__ = ["BackboneSpec", "DatasetSpec", "ExperimentSpec", "Registry", "TrainingSpec", "VariantSpec"]
