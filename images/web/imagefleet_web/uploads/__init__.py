"""Takes images in: what is let in, kept, judged, stored and queued, all or nothing."""
