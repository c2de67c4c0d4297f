"""What a process counts of itself, for Prometheus."""
