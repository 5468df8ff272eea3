"""`warm_up`: load before the first call what it would load, such as vocabularies and word lists."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

__all__ = ["WarmsUp", "warm_up_all"]


class WarmsUp:
    """A component with `warm_up`, and the same for event loops."""

    def warm_up(self) -> None:
        """Load now what the first call would load.

        Call it when the app starts. Without it the first call loads in a thread of its event loop,
        which still takes its time, and some imports hold up all threads for a moment.
        """
        raise NotImplementedError

    async def awarm_up(self) -> None:
        """Do the same in a thread."""
        await asyncio.to_thread(self.warm_up)


def warm_up_all(components: Iterable[object]) -> None:
    """Warm up those components that can be."""
    for each in components:
        if isinstance(each, WarmsUp):
            each.warm_up()
