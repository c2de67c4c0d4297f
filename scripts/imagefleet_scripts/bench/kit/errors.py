"""The one error that ends a benchmark."""

from __future__ import annotations


class BenchError(Exception):
    """Why there is no figure, in a sentence for the person who wanted one."""
