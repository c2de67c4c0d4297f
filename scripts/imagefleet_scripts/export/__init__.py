"""Networks in PyTorch, and how one becomes a folder that a worker loads."""
