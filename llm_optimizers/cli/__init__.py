"""The `llm-optimizers` command: one file per subcommand, registered in `app`."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command, or say what to install if the `cli` extra is missing."""
    try:
        from llm_optimizers.cli.app import app
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # as in `running`, which is not imported yet
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        raise SystemExit(
            "The command line needs the `cli` extra: pip install 'llm-optimizers[cli]'"
        ) from error
    app()
