"""Where workers run. Every provider answers the few verbs of `base.Provider`."""
