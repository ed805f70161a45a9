"""Intervals, paired tests and rank groups out of per-example values. NumPy and SciPy only."""
