"""Datasets: download, readers, checks, own datasets. Nothing here imports torch."""
