"""How many tokens a text, an image or a request costs, and whether the number is exact."""
