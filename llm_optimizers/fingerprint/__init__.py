"""What a value is, as JSON-like data: equal for equal values, different for different ones.

reading.py      every kind of value that can be read, and the refusal of all others
data.py         plain values, dates, numbers, secrets, arrays, sets
code.py         functions, methods and classes by their code; an installed package's by name
schemas.py      schema classes as the model is shown them, and their annotations
classes.py      the installed class behind a user's own, and what is known of it
beside.py       what an object keeps beside its fields
settings.py     the fields of a model or embedder that affect what it returns
"""

from llm_optimizers.fingerprint.classes import KnownClasses, installed_class
from llm_optimizers.fingerprint.data import name_of
from llm_optimizers.fingerprint.reading import (
    compact_json,
    digest,
    digest_of_read,
    fingerprint,
    json_text,
)
from llm_optimizers.fingerprint.settings import MODEL_SETTINGS, settings_of

__all__ = [
    "MODEL_SETTINGS",
    "KnownClasses",
    "compact_json",
    "digest",
    "digest_of_read",
    "fingerprint",
    "installed_class",
    "json_text",
    "name_of",
    "settings_of",
]
