"""`llm-optimizers examples`: find how many few-shot examples are enough, on your own labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from openai import OpenAI, OpenAIError
from rich.table import Table

from llm_optimizers.cli.output import AsJSON, console, exit_on_error, print_json, say
from llm_optimizers.evidence.labels import read_json_lines
from llm_optimizers.prompts.examples import (
    Example,
    ExampleCountResult,
    ExampleSelector,
    enough_examples,
)
from llm_optimizers.shown import shown

__all__ = ["examples"]


def examples(
    labelled: Annotated[
        Path,
        typer.Argument(
            help='Labelled examples, one JSON object per line: {"input": "…", "output": "…"}.',
            exists=True,
            dir_okay=False,
        ),
    ],
    model: Annotated[str, typer.Option(help="The model to test; its calls cost money.")],
    instructions: Annotated[
        str, typer.Option(help="The system prompt before the examples.")
    ] = "Answer as in the examples.",
    most: Annotated[int, typer.Option(min=1, help="The largest number of examples to try.")] = 8,
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="Smallest gain in quality that justifies more examples.")
    ] = 0.01,
    base_url: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible server. Default: OpenAI.")
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Try 0, 1, 2 … examples on your labelled questions and stop when quality levels off.

    Each question is asked with examples selected from the others; an answer is right if it has the
    same words as its label. The API key is read from OPENAI_API_KEY.

    Example: `llm-optimizers examples labelled.jsonl --model gpt-4o-mini --most 4`
    """
    key = os.environ.get("OPENAI_API_KEY")
    if key is None and base_url is None:
        raise typer.BadParameter("set OPENAI_API_KEY, or give --base-url")
    with (
        exit_on_error(OpenAIError),
        OpenAI(api_key=key or "none", base_url=base_url) as client,
        console(err=True).status(f"asking {shown(model)} …"),
    ):
        best, trials = enough_examples(
            _read(labelled),
            partial(_asked, client, model, instructions),
            selector=ExampleSelector(model=model),
            most=most,
            tolerance=tolerance,
        )
    _show(best, trials, as_json=as_json)


def _read(path: Path) -> list[Example]:
    """Read the labelled examples of a file.

    Raises:
        ConfigurationError: a line is malformed; the message says which.
    """

    def example(raw: Any) -> Example:
        return Example(input=str(raw["input"]), output=str(raw["output"]))

    wanted = '{"input": "…", "output": "…"}'
    return read_json_lines(path, example, kind="example", example=wanted)


def _asked(
    client: OpenAI, model: str, instructions: str, shown: Sequence[Example], question: str
) -> str:
    turns: list[dict[str, str]] = [{"role": "system", "content": instructions}]
    for example in shown:
        turns.append({"role": "user", "content": example.input})
        turns.append({"role": "assistant", "content": example.output})
    turns.append({"role": "user", "content": question})
    reply = client.chat.completions.create(model=model, messages=turns)  # type: ignore[arg-type]  # as dicts
    return reply.choices[0].message.content or ""


def _show(best: int, trials: Sequence[ExampleCountResult], *, as_json: bool) -> None:
    if as_json:
        tried = [{"examples": t.examples, "quality": t.quality} for t in trials]
        asked = trials[0].questions if trials else 0
        print_json({"enough": best, "questions": asked, "trials": tried}, indent=2)
        return
    table = Table("examples", "right answers", show_edge=False)
    for trial in trials:
        chosen = "bold" if trial.examples == best else ""
        table.add_row(str(trial.examples), f"{100 * trial.quality:.0f} %", style=chosen)
    console().print(table)
    say(f"{best} examples are enough: more of them gained less than the tolerance.")
