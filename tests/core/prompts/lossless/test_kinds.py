"""Texts whose layout is their meaning are sent as they are, in every role."""

from __future__ import annotations

import pytest

from llm_optimizers.prompts import RequestOptimizer
from llm_optimizers.prompts.lossless import LOSSLESS, PassName
from llm_optimizers.types import ChatRequest, Message, Role

EVERY_PASS: frozenset[PassName] = LOSSLESS | {
    "tables", "embedded_json", "markup", "whitespace", "repeats",
}  # fmt: skip
CLAUSE = (
    "The carrier replaces every parcel that was lost on its way within ten working days of the "
    "report and sends a note to the person who has written the report."
)
RECORDS = '[\n  {"n": 1, "city": "Bergen"},\n  {"n": 2, "city": "Turku"}\n]'

KINDS = {
    "diff": "Is this right?\n\n@@ -3,3 +3,3 @@\n def area(a):\n-    return  a\n+    return a\n \n",
    "patch of trailing blanks": "@@ -1,2 +1,2 @@\n-Blank at the end.  \n+Blank at the end.\n \n",
    "conflict": "<<<<<<< ours\nWe ship.  Today.\n=======\nWe ship.  Soon.\n>>>>>>> theirs\n",
    "grep with numbers": "lib/io.c:40:\tif (n) {\nlib/io.c:41:\t\treturn  n;\nlib/io.c-42-\t}\n",
    "numbered listing": "     1\tdef area(a):\n     2\t    return  a\n     3\t\n    10\tarea(3)\n",
    "traceback": 'Traceback (most recent call last):\n  File "a.py", line 3\n    g(  1)\nE: x\n',
    "interactive transcript": ">>> for n in x:\n...     print(n)\n...  \n1\n2\n",
    "shell session": "$ printf 'a  b'\na  b\n$ cut -c1-3 list\nab \n",
    "shell test": 'if [ -n "$CI" ]; then\n  echo  yes\nfi\n\nif [ -n "$CI" ]; then\n  x\nfi\n',
    "directory tree": ".\n|-- docs\n|   `-- a.md\n`-- lib\n    |-- b.py\n    `-- c.py\n",
    "drawn tree": "top\n├── left\n│   └── a\n└── right\n    └── b\n",
    "columns": "NAME        AGE   CITY\nOla          31   Oslo\nSiri          9   Moss\n",
    "columns of sentences": "Done.  Sent.   Paid.\nOpen.  Sent.   Late.\n",
    "tabs": "Name given\tTown lived in\r\nOla Nordmann\tMo i Rana\r\n",
    "fixed width log": "10:01:02  WARN   disk   full\n10:01:02  WARN   disk   full\n",
    "syslog": "Mar  4 10:01:02 host cron[7]: Started.  Done.\nMar  4 10:01:02 host cron[7]: x\n",
    "CSV with blanks": 'a, b ,c\n 1,"x  \ny  ", 3\n1,,\n1,,\n',
    "YAML": "jobs:\n-   name:  first\n    run: |\n        a  b\n\n        c\n-   name:  second\n",
    "YAML with a folded text": "note: >-\n  Read this.  Then sign.\n\n\n\n  Twice.  Always.\n",
    "TOML": 'text = """\nRead it all.  Then sign here.\n\n\n\n\nThat is all there is.\n"""\n',
    "INI": "[a]\npath = x  ; here.  Really.\n[b]\npath = x  ; here.  Really.\n",
    "Makefile": "all:\n\tcc  -o a a.c\n\nclean:\n\trm  -f a\n",
    "Dockerfile": "FROM x\nRUN a && \\\n    b  c\n\n\n\n\nRUN a && \\\n    b  c\n",
    "Python": "def f(a):\n    if a:\n        g('x  y')\n    h()\n\n\n\n\n\ndef k():\n    h()\n",
    "Python, three lines": "show('One.  Two.')\nsend(1)\nstop(2)\n",
    "Python with data": f"ROWS = {RECORDS}\n\nEXPECTED = {RECORDS}\n",
    "Python with text": f'A = """\n{RECORDS}\n"""\n\nB = """\n\nOne is here.  Two is.\n\n"""\n',
    "heredoc": "cat <<END\n\nRead it all.  Then sign here.\n\nEND\n",
    "C comment": "/* Read it all.  Then sign.\n * Twice.  Always.\n */\nint  a;\n",
    "SQL": "SELECT a.n   AS  n,\n       b.city  AS c\nFROM   a  JOIN b ON a.n = b.n\n",
    "assembly": "main:\n        mov     eax,  1\n        mov     eax,  1\n        ret\n",
    "regular expression": "Explain ^(?:  |\\t)+[a-z ]{2,}  $ for us all.",
    "glob and printf": 'Why does printf("%5s  %-3d\\n") pad so much? It pads.  Twice.',
    "Markdown breaks": "First line  \nsecond line  \nthird line\n",
    "Markdown list": "- one\n\n    code  in it\n\n- two\n- one\n- one\n",
    "Markdown table": "| a   | b   |\n|-----|:---:|\n| 1   |     |\n| 1   |     |\n",
    "Markdown quotation": "> I said so.  Twice.\n>\n> I said so.  Twice.\n",
    "fence": "```\nRead it all.  Then sign here.\n\n\n\n\n{ \"a\": 1,\n  \"b\": x }\n```\n",
    "fence in a list": "1. Do:\n\n   ```sh\n   echo  'One.  Two.'\n   ```\n",
    "open fence": "Look at what I have.\n\n~~~\nRead it all.  Then sign here.\n",
    "indented code": "See this here.\n\n    a  =  1\n\n    b  =  { \"a\": 1,  \"b\": 2 }\n",
    "RST": "Title here\n==========\n\n::\n\n    a  b\n\n.. note::  Read.  Twice.\n",
    "LaTeX": "\\begin{verbatim}\n\nRead it all.  Then sign here.\n\n\\end{verbatim}\n",
    "HTML": "<pre>\nRead it all.  Then sign here.\n\n\n\n\nRead it.  Twice.\n</pre>\n",
    "comment in inline code": "Write `<!-- cut -->` where it should end. Then save.",
    "comment in quotes": 'Each page begins with "<!-- owner: us -->" on a line of its own.',
    "comment asked about": "What does the comment in my page do?\n\n<!-- index: no -->\n",
    "invisible asked about": "Is there an invisible character in pass\u200bword as I sent it?",
    "comment between lists": "- one\n\n<!-- -->\n\n- two\n",
    "board": "Where do I play?\nO X  \n  O  \nX    \n",
    "map": "#####\n# .  #\n#  @ #\n#####\n",
    "ASCII art": "  /\\_/\\  \n ( o.o ) \n  > ^ <  \n",
    "bar chart": "tea\n========\ncoffee\n================\nmilk\n========\n",
    "sparse matrix": "1   0   0\n0   1   0\n0   0   1\n",
    "verse": "The sea,   the sea\n   the open sea\nThe sea,   the sea\n",
    "song": "Row and row your boat today.\nRow and row your boat today.\n",
    "fill in": "Complete this for me:   The capital is       .\nIt lies by    .",
    "numbered steps": "1.  Open it.\n2.  Close it.\n10. Open it.\n",
    "survey answers": "What do most of them want?\n\n- Tea.\n- Tea.\n- Coffee.\n- Tea.\n",
    "counted sentences": "The bell rang again. The bell rang again. How often did it ring?",
    "labels": "Input: yes\nOutput: no\n\nInput: no\nOutput: no\n",
    "examples": "<example>\nIt is there.  Go.\n</example>\n<example>\nIt is there.\n",
    "two versions": f"VERSION A\n\n{CLAUSE}\n\nVERSION B\n\n{CLAUSE}\n\nPets travel free.\n",
    "two headings": f"## Letters\n\n{CLAUSE}\n\n## Parcels\n\n{CLAUSE}\n",
    "two tags": f"<letters>\n{CLAUSE}\n</letters>\n<parcels>\n{CLAUSE}\n</parcels>\n",
    "two introductions": f"This is for letters.\n\n{CLAUSE}\n\nThis is for parcels.\n\n{CLAUSE}\n",
    "rules of two sections": "# A\n\n- Ask for the name.\n- Pay.\n\n# B\n\n- Ask for the name.\n",
    "sign": "Allow an offset of at most -3. Allow an offset of at most 3.",
    "tense": "Say what it costs. Say what it cost. Say what it will cost.",
    "degree": "Take the shorter way. Take the shortest way. Take the short way.",
    "kind of word": "Name the inspector. Name the inspection. Name the inspected.",
    "order": "Sort by price and size. Sort by size and price.",
    "case": "Send it to IT today. Send it to it today.",
    "negation": "Do reply to them. Do not reply to them.",
    "non-breaking blanks": "It weighs 10\u00a0kg.\u00a0 It is 3\u202f000\u00a0km away.\n",
    "joiners": "\u0645\u06cc\u200c\u062e\u0648 \U0001f468\u200d\U0001f469 \u0915\u094d\u200d.",
    "directions": "\u200f\u0645\u0631\u062d\u0628\u0627\u200e abc \u202bxyz\u202c \u2067q\u2069.",
    "word breaks in Thai": "\u0e09\u0e31\u0e19\u200b\u0e23\u0e31\u0e01\u200b\u0e04\u0e38\u0e13.",
    "byte order mark": "\ufeffname;town\nOla;Mo\n",
    "line ends": "One is here.  \r\n\r\n\r\n\r\n\r\nTwo.\r\rThree.\x0b\x0cFour.\u2028Five.\n",
    "base64": "aGVsbG8gd29ybGQ=\n\naGVsbG8gd29ybGQ=\n",
    "hex dump": "00000000  68 65 6c 6c  6f 20 77 6f  |hello wo|\n00000010  72 6c 64 0a   |rld.|\n",
    "test vectors": "in:  { \"a\" : 1 , \"b\" : 2 }\nout: {\"a\":1,\"b\":2}\n",
    "JSON in a string": 's = "{ \\"a\\": 1,  \\"b\\": 2 }"\n',
    "JSON in a sentence": 'Write {"a": 1,  "b": 2} there. Then {"a": 1,  "b": 2} here.',
    "JSON in a transcript": '>>> load()\n{"a": 1,  "b": 2}\n>>> load()\n{"a": 1,  "b": 2}\n',
    "JSON5": "{\n  // why\n  a: 1,\n  'b': 2,\n}\n",
    "JSON with comments": '{\n  "a": 1, // why\n  "b": 2\n}\n',
    "trailing comma": '{\n  "a": 1,\n  "b": 2,\n}\n',
    "Python's dict": "{'a': None,  'b': True}\n",
    "not a number": '{\n  "a": NaN,\n  "b": -Infinity\n}\n',
    "two values": '{\n  "a": 1,\n  "b": 2\n}{\n  "a": 1,\n  "b": 2\n}',
    "raw line break in a string": '{"a":  "x\ny", "b": 1}',
    "one key": '{ "a" : [ 1, 2 ] }',
    "numbers only": "[ [1, 0],\n  [0, 1] ]",
    "lone surrogates": "\ud800  \udc00 and x  y\n",
    "deep nesting": "[" * 5_000 + "]" * 5_000,
    "controls": "\x00  \x07\x1b[31m  red\x1b[0m  \x7f\n",
    "PEM": "-----BEGIN KEY-----\nMIIB  \nAQAB\n-----END KEY-----\n",
    "mail": "> On Monday you wrote.  Twice.\n-- \nOla\n",
    "subtitles": "1\n00:00:01,000 --> 00:00:02,000\nNo.  No.\n\n2\n00:00:02,000\nNo.  No.\n",
    "chess": "  a b c\n8 r . k\n7 . p .\n6 . . .\n",
    "tablature": "e|--0---3--|\nB|----1----|\nB|----1----|\n",
}  # fmt: skip


def sent(role: Role, text: str, passes: frozenset[PassName]) -> str:
    others = () if role == "user" else (Message(role="user", content="Go on."),)
    request = ChatRequest(model="gpt-4o", messages=(Message(role=role, content=text), *others))
    optimizer = RequestOptimizer(passes=passes, provider_cache=False)
    return optimizer.optimize(request).request.messages[0].text


@pytest.mark.parametrize("text", KINDS.values(), ids=KINDS)
def test_a_text_whose_layout_is_its_meaning_is_sent_as_it_is(text: str) -> None:
    for role in ("user", "system", "tool", "assistant"):
        assert sent(role, text, LOSSLESS) == text
        assert sent(role, text, EVERY_PASS) == text


@pytest.mark.parametrize(
    "text",
    [
        "  A prompt,   typed.  \n\n\n\n\n\n<!-- x -->\nBe brief. Be brief.\u200b \r\n",
        '{\n  "a": 1,\n  "b": 2\n}',
        f"Read:\n\n```json\n{RECORDS}\n```\n\n{RECORDS}\n",
        f"{CLAUSE}\n\n{CLAUSE}\n",
    ],
)
def test_what_a_person_or_a_model_wrote_stays_byte_for_byte(text: str) -> None:
    for role in ("user", "system", "assistant"):
        assert sent(role, text, LOSSLESS) == text


@pytest.mark.parametrize(
    "text",
    [
        "You help all day.   Be kind to them.\n\n\n\n\n\nThat is all for now.\n",
        f"{CLAUSE}\n\n{CLAUSE}\n",
        "<!-- x -->\n\nYou help people all day.\n",
        f"Found:\n{RECORDS}\n",
    ],
)
def test_a_tool_s_text_is_not_changed_by_the_passes_for_prompts(text: str) -> None:
    assert sent("tool", text, EVERY_PASS) == text
    assert sent("user", text, EVERY_PASS) != text
