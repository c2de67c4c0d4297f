"""The routes, one subject a file; each exports its blueprint as `bp`."""
