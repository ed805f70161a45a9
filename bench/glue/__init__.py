"""GLUE: fine-tuning of an encoder on nine tasks by one declared recipe."""
