"""From labels to a router that may act: features, the scorer, the gate, and its file."""
