"""Evaluates runs on the test images of a dataset's subsets: counts, predictions and metrics."""
