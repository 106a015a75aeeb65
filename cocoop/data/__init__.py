"""Datasets: downloads, readers, checks, and new datasets. Does not import torch."""
