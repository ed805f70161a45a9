"""Exact nearest neighbours of queries among documents that come in blocks."""
