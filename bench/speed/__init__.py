"""Ratios of speed and memory against the libraries that people use today, each pair measured in one run."""
