"""What the scripts of this folder run."""
