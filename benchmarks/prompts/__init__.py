"""Shorter contexts: what our selector and other tools keep, and how fast."""
