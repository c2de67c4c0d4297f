"""How results become known to a process, and how those who wait for them are told."""
