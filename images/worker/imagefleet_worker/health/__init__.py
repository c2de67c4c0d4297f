"""Whether the worker is well, and still of use."""
