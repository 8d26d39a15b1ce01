"""A whole cluster in one thread from one seed, over the real core. Run it with `scripts/simulate`."""
