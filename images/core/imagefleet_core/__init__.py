"""What the tiers share: the job contract, the store, the queues, settings and logs."""
