"""How often a shorter context still contains the answer, and the time it takes to choose it.

    python benchmarks/prompts.py --data ../shared/data --json rows.json
    python benchmarks/prompts.py --data ../shared/data --only entrance --sets docs,tables

Every prompt is a question with retrieved passages, one of which contains the answer (in `two_hops`,
two of which contain half of it). A method gets 20 % (10 %) of the passages' tokens, including
titles, and is right if what is left of that passage still contains an answer. Data that the
shipped weights were fitted on are measured with weights fitted on the other half of the rows, so
that no row is measured with weights fitted on it.

`docs`, `tables` and `two_hops` are our own questions about the documentation of the packages that
are installed, among the nearest other parts of it. `lossless` measures something else: whether the
passes that are on by default change what a text means, and the tokens that they save.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial

from harness import Row, Run, Section, main
from llm_optimizers.embeddings import StaticEmbedder
from prompts.data_sets import FILES, english
from prompts.declined import declined
from prompts.entrance import SETS, entrance
from prompts.lossless import lossless
from prompts.retention import answers_kept
from prompts.speed import speed


def measure_speed(run: Run) -> Iterator[Row]:
    """Measure the milliseconds over the prompts of both files with titles."""
    if prompts := english(run):
        yield from speed(prompts, StaticEmbedder().embed)


def chosen_sets(text: str) -> tuple[str, ...]:
    """Read the option `--sets`."""
    names = tuple(name for name in text.split(",") if name)
    if unknown := [name for name in names if name not in SETS]:
        raise argparse.ArgumentTypeError(
            f"no set {', '.join(unknown)}; there are: {', '.join(SETS)}"
        )
    return names


def more_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--sets", type=chosen_sets, default=SETS, help=f"of `entrance`: {','.join(SETS)}"
    )


SECTIONS = [
    *(
        Section(
            name=name,
            measure=partial(answers_kept, name),
            about=f"answers still there, {FILES[name]}",
        )
        for name in FILES
    ),
    Section(name="entrance", measure=entrance, about="answers still there after RequestOptimizer"),
    Section(name="lossless", measure=lossless, about="texts that mean the same, and tokens saved"),
    Section(
        name="declined",
        measure=declined,
        about="contexts cut in full, and those cut less since nothing left could answer",
    ),
    Section(name="speed", measure=measure_speed, about="milliseconds a choice takes"),
]

if __name__ == "__main__":
    main(__doc__, SECTIONS, more_options)
