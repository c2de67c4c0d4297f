"""Puts Imagefleet onto AWS, tells how it is there, and takes it away again."""
