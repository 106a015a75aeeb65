"""The offline demo: drawn images, miniature datasets, and the pretraining of the bundled CLIP."""
