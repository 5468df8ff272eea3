"""Retrieved context within a budget: found, read, ranked and cut."""
