"""What a call costs: dated list prices, the user's own, and the arithmetic of a bill."""
