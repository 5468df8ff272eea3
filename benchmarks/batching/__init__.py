"""Callers that share calls, queues with killed workers, rows in several processes."""
