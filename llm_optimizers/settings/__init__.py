"""What the settings of a request or model ask for, in the terms of each provider.

choices.py         how many answers
sampling.py        whether the same request again is meant to vary
bookkeeping.py     which settings shape no answer, by what they are for
provider_state.py  what the request refers to at the provider
copies.py          copies of them for one model
nested.py          where models keep the settings for which they have no field
unknown.py         those that a wrapper is given but does not have
"""
