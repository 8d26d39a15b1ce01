"""A whole cluster in one thread from one seed, over the real core (RELIABILITY 4). Run it with `scripts/simulate`."""
