"""The cost layer for LLM apps: cache, route, compress and batch calls, and report the savings."""
