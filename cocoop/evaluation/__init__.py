"""Evaluation: a run applied to the test images of a dataset's subsets, as counts, predictions and metrics."""
