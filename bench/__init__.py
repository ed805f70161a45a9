"""Scores models with mteb and keeps the evidence."""
