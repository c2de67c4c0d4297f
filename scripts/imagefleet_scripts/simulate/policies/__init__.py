"""The policies that are compared, each as its makers describe it."""
