"""What the offline demo is made of: drawn pictures, miniature datasets, and the pretraining of the bundled CLIP."""
