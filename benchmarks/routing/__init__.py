"""Routers on recorded outcomes: ranking, cascades, the gate, the time to decide."""
