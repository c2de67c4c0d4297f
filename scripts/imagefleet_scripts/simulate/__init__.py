"""Scaling policies side by side against a simulated AWS, in virtual time."""
