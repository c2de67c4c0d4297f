"""Workers as EC2 instances, launched through a launch template and found again by their tags."""
