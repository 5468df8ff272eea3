"""The cache compared with others: exact hits, hits by meaning, a chain, an import."""
