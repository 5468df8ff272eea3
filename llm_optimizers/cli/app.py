"""The root of the command: names every subcommand, each defined in its own file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer
from typer.main import get_group

from llm_optimizers.cli.running import Commands

__all__ = ["app"]

_STYLE: Final = "markdown"
_SUBCOMMANDS = {
    "demo": "demo:demo",
    "replay": "replay:replay_log",
    "prices": "prices:prices",
    "report": "report:report",
    "audit-prompts": "audit_prompts:audit_prompts",
    "examples": "examples:examples",
    "ledger": "ledger:ledger",
    "router": "router:router",
    "queue": "queue:queue",
}
"""For each subcommand its module in this folder, and there its function or group."""


class _Subcommands(Mapping[str, Any]):
    """The subcommands by name; each is imported when it is used, since all take a second."""

    def __getitem__(self, name: str) -> Any:
        module, _, attribute = _SUBCOMMANDS[name].partition(":")
        found = getattr(import_module(f"{__package__}.{module}"), attribute)
        alone = typer.Typer(rich_markup_mode=_STYLE)
        if isinstance(found, typer.Typer):
            alone.add_typer(found, name=name)
        else:
            alone.command(name)(found)
        return get_group(alone).commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_SUBCOMMANDS)

    def __len__(self) -> int:
        return len(_SUBCOMMANDS)


class _Root(Commands):
    """The root, which imports the subcommand that is used."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": _Subcommands()})

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer passes it
        """Return the names without importing what they stand for."""
        return list(_SUBCOMMANDS)


app = typer.Typer(
    name="llm-optimizers",
    cls=_Root,
    help="See what your LLM calls cost, and how much caching, routing, shorter prompts and "
    "batching save.",
    no_args_is_help=True,
    rich_markup_mode=_STYLE,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"llm-optimizers {version('llm-optimizers')}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """See what your LLM calls cost and how much of it could be saved."""
