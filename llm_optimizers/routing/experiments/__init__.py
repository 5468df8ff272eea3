"""Policies side by side on real traffic, and what they show."""
