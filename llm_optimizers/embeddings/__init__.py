"""Texts as unit vectors: the bundled static model, or the user's own embedder."""
