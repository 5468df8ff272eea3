"""What proves a saving harmless: labels, samples of traffic, bounds and drift."""
