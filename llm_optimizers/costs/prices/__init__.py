"""What a call costs: dated list prices, the user's own prices, and how a bill is calculated.

book.py            PriceBook: what a call costs on its date
contract.py        what the user pays by contract; contract_file.py reads it from a file
finding.py         the price of a model: the user's own, else the list's
listings.py        entries of the price list by name, and what the user says of them
catalog.py         list prices from genai-prices, with stricter checks
rates.py           ModelPrice, Rates
tiers.py           ServiceTier, and every provider's words for it
bill.py            the bill of a usage, part by part
names.py           a model's provider, and whether a listed name is really that model
answered.py        which name is priced: that asked for, or that which answered
"""
