"""Which concurrent calls of a model share a prompt: every decision an adapter needs, taken once.

An adapter translates a call into a `ChatRequest` and hands it to `CombinedCalls`, which answers
"alone" (None: ask the model as if nothing stood in front of it) or gives the caller's end of a
shared call. Alone go, besides what `combination_key` names:

- calls of a model whose own settings ask for more than one plain text (`gives_plain_text`),
- calls whose content the adapter could not translate,
- calls whose tenant is not known, for without a tenant nothing may be shared.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from llm_optimizers.batching.coalescing import Coalescer, GroupLimits, SharedCall
from llm_optimizers.batching.combining.agreement import AgreementReport, compare_combined
from llm_optimizers.batching.combining.ask import (
    AskModel,
    CombinedAsk,
    Question,
    QuestionOutcome,
    SharedAnswer,
)
from llm_optimizers.batching.combining.combined_call import CombinedCall
from llm_optimizers.batching.combining.prompts import (
    COMBINED_SIZE,
    combination_key,
    gives_plain_text,
)
from llm_optimizers.errors import ConfigurationError
from llm_optimizers.evidence.comparison import Comparison, same_answer
from llm_optimizers.types import ChatRequest

__all__ = ["BoundCalls", "CombinedCalls"]

_CHARACTERS_A_TOKEN = 4

Calls = TypeVar("Calls")


class CombinedCalls:
    """The concurrent calls of one model, as far as they may share prompts.

    Args:
        ask: makes one call of the model, synchronously, from any thread.
        models: the model itself, or those behind it, any of which may answer.
        takes_settings: whether `ask` can send what a call itself sets (a temperature, say).
        observe: called with every question once it is settled, even if its caller had left.
        limits: when a prompt is sent; 6 questions or 30 ms unless given.
        max_pending: callers beyond this many wait for a place.
        max_calls: calls at the same time.
        timeout: seconds a caller waits for an answer.
    """

    def __init__(
        self,
        ask: AskModel,
        *,
        models: Sequence[object] = (),
        takes_settings: bool = True,
        observe: Callable[[QuestionOutcome], None] | None = None,
        limits: GroupLimits | None = None,
        max_pending: int = 1_000,
        max_calls: int = 8,
        timeout: float | None = None,
    ) -> None:
        self._ask = ask
        self._models = tuple(models)
        self._takes_settings = takes_settings
        self._observe = observe
        limits = limits or GroupLimits()
        self._size = limits.max_size or COMBINED_SIZE
        self._timeout = timeout
        self._coalescer: Coalescer[Question, SharedAnswer] = Coalescer(
            CombinedAsk(ask, observe=lambda found: found.caller.finish(found)),
            limits=replace(limits, max_size=self._size),
            max_pending=max_pending,
            max_calls=max_calls,
        )

    def combined_call(
        self, request: ChatRequest | None, *, tenant: Callable[[], str] = str, caller: Any = None
    ) -> CombinedCall | None:
        """A call's place among the others, None when it goes alone.

        `request` is None where the call's content could not be translated. `tenant` names the
        tenant of the running code; if it fails the call goes alone. `caller` comes back in
        `QuestionOutcome`.
        """
        try:
            name = tenant()
        except Exception:  # noqa: BLE001 - without a tenant nothing may be shared
            return None
        own = None if request is None else replace(request, tenant=name)
        key = None if own is None else self._key(own)
        if own is None or key is None:
            return None
        tokens = len(own.messages[-1].text) // _CHARACTERS_A_TOKEN

        def join(question: Question) -> SharedCall[Question, SharedAnswer]:
            return self._coalescer.shared(question, key=key, tokens=tokens, timeout=self._timeout)

        question = Question(request=own, caller=caller)
        return CombinedCall(question, join=join, observe=self._observe)

    def check(
        self,
        sample: Sequence[ChatRequest | None],
        *,
        tolerance: float = 0.05,
        confidence: float = 0.9,
        agree: Comparison = same_answer,
        ask: AskModel | None = None,
    ) -> AgreementReport:
        """Answer a sample singly and combined, as many to a prompt as there would be.

        `ask` makes these calls, if not in the way in which those that callers share are made.

        Raises:
            ConfigurationError: the sample is empty, or holds calls that are never combined.
        """
        requests: list[ChatRequest] = []
        for number, request in enumerate(sample):
            if request is None or self._key(request) is None:
                raise ConfigurationError(
                    f"input {number} of the sample is never combined: its content or settings "
                    "(tools, images, several turns, stop words, …) or the model's own (n, stop, "
                    "…) do not allow it; leave it out"
                )
            requests.append(request)
        return compare_combined(
            requests,
            ask or self._ask,
            size=self._size,
            tolerance=tolerance,
            confidence=confidence,
            agree=agree,
        )

    @property
    def closed(self) -> bool:
        """Whether callers are refused."""
        return self._coalescer.closed

    def close(self) -> None:
        """Answer the callers that wait, then refuse."""
        self._coalescer.close()

    def _key(self, request: ChatRequest) -> Hashable | None:
        if request.params and not self._takes_settings:
            return None
        if not all(gives_plain_text(model) for model in self._models):
            return None
        return combination_key(request)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundCalls(Generic[Calls]):
    """The shared calls of one model, as a wrapper keeps them for as long as it has that model.

    Their threads and locks belong to one wrapper: copied deeply or pickled with it, this is None.
    """

    model: object
    settings: Hashable
    calls: Calls

    def serves(self, model: object, settings: Hashable) -> bool:
        """Whether these are still the calls of that model, made in that way."""
        return self.model is model and self.settings == settings

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()
