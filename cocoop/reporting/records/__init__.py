"""From metrics files to numbers: tidy records, statistics over seeds, paired comparisons, costs and notes."""
