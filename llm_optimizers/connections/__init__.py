"""How SQLite files and Redis servers are opened and kept open: once, for every store."""
