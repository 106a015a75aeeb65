"""From evaluations to records, tables, figures and the report."""
