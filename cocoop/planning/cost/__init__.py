"""Estimates what a plan will cost: jobs, image and text passes, disk, hours. Does not import torch."""
