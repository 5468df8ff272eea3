"""From labels to a router that may act: features, the scorer, the gate, and its file.

calibration.py  from labels to a router, or to the reason it may not act
features.py     text to numbers
gains.py        the scorer: what a strong model would gain; linear.py, topics.py, trees.py
gate.py         a router acts only after it has shown a gain on answers it has not seen
measures.py     how good a ranking of requests is
artefact.py     the router's file
explaining.py   why it predicts what it does
"""
