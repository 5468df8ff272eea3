"""What a call costs: dated list prices, the user's own, and the arithmetic of a bill.

book.py      PriceBook: what a call costs at its own date
catalog.py   list prices from genai-prices, its traps closed
rates.py     ModelPrice, Rates, ServiceTier: the arithmetic of a bill
names.py     who sells a model, and whether a listed name is really that model
"""
