"""Data of benchmarks: hashed, checked against official statistics, packed for machines without a network."""
