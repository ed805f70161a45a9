"""Callbacks that every training run gets."""
