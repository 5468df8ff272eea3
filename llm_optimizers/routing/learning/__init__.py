"""Learned routers: fitting on labels, the activation test, prediction, and the router file.

calibration.py  fits a router on labels and reports whether it may be used
features.py     features of a text
gains.py        the gain model: what a strong model would gain; topics.py, trees.py
fitting.py      fits the gain model, with scikit-learn
activation.py   the activation test: does a router gain on held-out labels
metrics.py      metrics of a ranking of requests
declining.py    a calibration for labels that nothing can be learned from
artefact.py     the router file
explanation.py  explains a prediction by the words of the request
"""
