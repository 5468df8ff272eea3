"""Decides which concurrent calls of a model share a prompt, for the adapters of all frameworks.

An adapter translates a call into a `ChatRequest` and passes it to `CombinedCalls`, which returns a
handle of a combined call, or None if the adapter is to make a separate call. Apart from those that
`combination_key` excludes, these calls are separate:

- calls of a model whose settings ask for more than one plain text (`gives_plain_text`),
- calls whose content the adapter could not translate,
- calls whose tenant is unknown, since tenants must not share prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from llm_optimizers.arguments import instance, number, optional
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
from llm_optimizers.pickling import NotPickled
from llm_optimizers.tenancy import CallerTenant
from llm_optimizers.types import ChatRequest

__all__ = ["BoundCalls", "CombinedCalls"]

_CHARACTERS_PER_TOKEN = 4

Calls = TypeVar("Calls")


class CombinedCalls(NotPickled):
    """Combines concurrent calls of one model into shared prompts.

    Args:
        ask: calls the model once, synchronously, from any thread.
        models: the model itself, or all models that may answer, such as those of a router.
        takes_settings: whether `ask` can send the parameters of a call, such as a temperature.
        observe: called with the outcome of every question, even if its caller has left.
        limits: when a prompt is sent; 6 questions or 30 ms by default.
        max_pending: further callers wait for a slot.
        max_calls: concurrent calls.
        timeout: seconds that a caller waits for an answer.
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
        limits = optional(instance, "limits", limits, GroupLimits) or GroupLimits()
        optional(number, "timeout", timeout, above=0)
        self._size = limits.max_size or COMBINED_SIZE
        self._timeout = timeout
        self._coalescer: Coalescer[Question, SharedAnswer] = Coalescer(
            CombinedAsk(ask, observe=lambda found: found.caller.finish(found)),
            limits=replace(limits, max_size=self._size),
            max_pending=max_pending,
            max_calls=max_calls,
        )

    def combined_call(
        self,
        request: ChatRequest | None,
        *,
        tenant: CallerTenant | Callable[[], str] | None = None,
        caller: Any = None,
    ) -> CombinedCall | None:
        """Return the caller's handle of a combined call, None for a separate call.

        `request` is None if the call's content could not be translated. `tenant` is by default
        that of the running code, or of the code in the namespace that a function returns; if it is
        unknown, or the call is held out, the call is separate. `caller` is returned in the
        `QuestionOutcome`.
        """
        owner = tenant if isinstance(tenant, CallerTenant) else CallerTenant.read(tenant)
        if not owner.known or owner.held_out:
            return None
        own = None if request is None else replace(request, tenant=owner.name)
        key = None if own is None else self._key(own)
        if own is None or key is None:
            return None
        tokens = len(own.messages[-1].text) // _CHARACTERS_PER_TOKEN

        def join(question: Question) -> SharedCall[Question, SharedAnswer]:
            return self._coalescer.shared(
                question, key=key, tokens=tokens, timeout=self._timeout, tenant=owner
            )

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
        """Answer a sample separately and combined, with the usual number of questions per prompt.

        `ask` makes these calls if given, instead of the `ask` for combined calls.

        Raises:
            ConfigurationError: the sample is empty, or has calls that are never combined.
        """
        requests: list[ChatRequest] = []
        for at, request in enumerate(sample):
            if request is None or self._key(request) is None:
                raise ConfigurationError(
                    f"input {at} of the sample is never combined: its content or settings "
                    "(tools, images, several turns, stop words, …) or the model's settings (n, "
                    "stop, …) do not allow it; leave it out"
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
        """Whether it is closed and refuses callers."""
        return self._coalescer.closed

    def close(self) -> None:
        """Answer all waiting callers and refuse later ones."""
        self._coalescer.close()

    def _key(self, request: ChatRequest) -> Hashable | None:
        if request.params and not self._takes_settings:
            return None
        if not all(gives_plain_text(model) for model in self._models):
            return None
        return combination_key(request)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundCalls(Generic[Calls]):
    """The combined calls of one model, which a wrapper keeps while it has that model.

    Their threads and locks belong to one wrapper, so that a deep copy or a pickle is None.
    """

    model: object
    settings: Hashable
    calls: Calls

    def serves(self, model: object, settings: Hashable) -> bool:
        """Whether these calls are for that model with those settings."""
        return self.model is model and self.settings == settings

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()
