"""What the machine, or the container, grants to this process."""
