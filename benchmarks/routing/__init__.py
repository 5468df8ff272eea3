"""Routers on recorded outcomes: ranking, cascades, the activation test, the time to decide."""
