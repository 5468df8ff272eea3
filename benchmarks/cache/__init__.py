"""The cache against its peers: exact hits, hits by meaning, a chain, an import."""
