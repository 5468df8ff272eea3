"""What a call costs: dated list prices, the user's own prices, and how a bill is calculated.

book.py      PriceBook: what a call costs on its date
catalog.py   list prices from genai-prices, with stricter checks
rates.py     ModelPrice, Rates
bill.py      the bill of a usage, part by part
tiers.py     ServiceTier, and every provider's words for it
names.py     a model's provider, and whether a listed name is really that model
"""
