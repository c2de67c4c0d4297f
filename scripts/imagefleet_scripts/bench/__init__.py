"""Benchmarks of the tiers: a module for each, and what they share in `kit`."""
