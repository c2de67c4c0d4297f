"""Grows the fleet of workers with the backlog, and shrinks it to zero."""
