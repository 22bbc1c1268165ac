"""Measurements, figures and the report of a trained model."""
