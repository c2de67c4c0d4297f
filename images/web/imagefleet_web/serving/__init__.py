"""The server and its dealings with clients before and beside the app."""
