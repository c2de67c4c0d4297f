"""The worker tier: takes queued images, classifies them and stores a result for each."""
