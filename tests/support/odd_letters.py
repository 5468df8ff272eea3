"""Letters whose lower case, upper case and case folding disagree, and texts that contain them."""

from __future__ import annotations

import sys

from hypothesis import strategies as st

ODD_LETTERS = "".join(
    letter
    for letter in map(chr, range(sys.maxunicode + 1))
    if letter.lower() != letter.casefold() or len(letter.lower() + letter.upper()) > 2
)
_PLAIN = "aAsS\u03a3\u03c3\u03c2\U0001d400\uff21 .,:'\u2019\"`-_1\u0301\u0307\u0345"

ODD_TEXTS = st.text(st.sampled_from(ODD_LETTERS) | st.sampled_from(_PLAIN), max_size=20)
"""These letters mixed with plain ones, combining marks, quotes and apostrophes."""
