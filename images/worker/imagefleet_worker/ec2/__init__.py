"""What EC2 tells an instance about itself."""
