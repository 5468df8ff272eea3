"""Shorter contexts: what our selector keeps and what peers keep, and how fast."""
