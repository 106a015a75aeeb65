"""A frozen open_clip model: architecture, weights, image preprocessing."""
