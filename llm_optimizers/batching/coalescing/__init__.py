"""Concurrent callers, few calls: any thread, any event loop."""
