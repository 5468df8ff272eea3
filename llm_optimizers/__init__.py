"""The cost layer for LLM apps: cache, route, compress, batch, and one account of what it saved."""
