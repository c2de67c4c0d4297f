"""Processes that work for the worker, so that no image can take it with them."""
