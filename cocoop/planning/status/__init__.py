"""The progress of a benchmark, determined only from its files, without Snakemake, Slurm or torch."""
