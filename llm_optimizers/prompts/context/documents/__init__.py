"""The documents of the retrieved context in a message.

sections.py     where retrieved context lies in a message
headings.py     context below a heading for it
closings.py     where such a section ends
asking.py       the question in the text around it
division.py     `documents`: a section divided into its documents, and written back
own_texts.py    where each document's own text lies in a message
tagged.py       documents in tags
literals.py     documents in Python or JSON literals
marked.py       documents below fields, numbers, rules or headings
paragraphs.py   documents without a mark
titles.py       the titles of documents
places.py       where a document lies; code, data and elements in which none starts
tags.py         tags with and without a partner
"""
