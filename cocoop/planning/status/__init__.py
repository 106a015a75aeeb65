"""How far a benchmark is, from its files alone: no Snakemake, no Slurm and no torch is asked."""
