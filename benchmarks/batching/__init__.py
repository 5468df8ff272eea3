"""Calls that share calls, queues with killed workers, rows over processes."""
