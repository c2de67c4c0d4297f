"""Bakes a machine image for workers, with Docker and the worker's image in it."""
