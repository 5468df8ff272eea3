"""The standard names of whose money a call was, and the names that the field uses for each."""

from __future__ import annotations

import re
from collections.abc import Mapping

from llm_optimizers.memos import of_word

__all__ = ["ALIASES", "NAMES", "rank_of"]

# Case, dots, dashes and underscores do not matter: `userId` is `user_id`. From the documentation of
# LangSmith and LangGraph (`thread_id`, `session_id`, `conversation_id`), Langfuse (`langfuse_…`),
# OpenTelemetry (`enduser.id`, `session.id`, `service.name`, `gen_ai.…`), LiteLLM
# (`user_api_key_…`), Portkey (`_user`), Helicone (`Helicone-…`), Traceloop (`traceloop.…`), Datadog
# (`ml_app`) and PostHog (`distinct_id`).
ALIASES: Mapping[str, str] = {
    "user": "user user_id user_name end_user end_user_id enduser.pseudo.id langfuse_user_id ls_user"
    " ls_user_id helicone-user-id user_api_key_end_user_id user_api_key_user_id"
    " langgraph_auth_user_id distinct_id",
    "tenant": "tenant tenant_id tenant_name customer customer_id organization organization_id"
    " organisation organisation_id org org_id account_id workspace_id user_api_key_org_id"
    " user_api_key_team_id",
    "feature": "feature feature_name feature_id use_case component app app_name application ml_app"
    " service_name traceloop.workflow.name",
    "session": "session session_id thread thread_id conversation conversation_id"
    " gen_ai.conversation.id chat_id langfuse_session_id ls_session_id helicone-session-id",
    "run": "run run_id root_run_id",
    "agent": "agent agent_name agent_id gen_ai.agent.name gen_ai.agent.id",
    "step": "step step_name step_id node node_name gen_ai.step.name",
}
"""The names for each standard name, which comes first itself; of several the first counts."""
NAMES = tuple(ALIASES)
"""The standard names."""
_LONGEST = 64  # characters of an alias


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


_RANKS: Mapping[str, tuple[str, int]] = {
    _plain(alias): (name, rank)
    for name, aliases in ALIASES.items()
    for rank, alias in enumerate(aliases.split())
}


@of_word(1_024)
def rank_of(name: str) -> tuple[str, int] | None:
    """Return the standard name that this stands for and its rank, None if it stands for none.

    Of several aliases of a name, the one with the lowest rank wins; the name itself has rank 0.
    """
    return _RANKS.get(_plain(name)) if len(name) <= _LONGEST else None
