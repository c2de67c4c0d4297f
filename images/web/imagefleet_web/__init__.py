"""The web tier: takes uploads, stores and queues them, and tells their results."""

__version__ = "0.1.0"
