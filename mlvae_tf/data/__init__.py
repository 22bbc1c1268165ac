"""Datasets, their splits, and batches of groups."""
