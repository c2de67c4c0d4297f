"""What the web tier knows of the fleet, and what it tells the scaler."""
