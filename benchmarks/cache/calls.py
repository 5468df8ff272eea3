"""The benchmarked call: a support question as a ChatOpenAI would send it, and its answer."""

from __future__ import annotations

from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration
from langchain_openai import ChatOpenAI

SYSTEM = (
    "You are the support assistant of a shop that sells bicycles, parts and repairs in four"
    " countries. Answer from the shop's own rules and never promise what they do not grant. Goods"
    " that arrive damaged are replaced within 30 days; worn parts are not. Say which document the"
    " customer has to send, keep to three sentences, and end with the opening hours of the nearest"
    " workshop if the customer has named a town."
)
QUESTION = "My order arrived yesterday and the front wheel is bent. What can I do about it?"


def cache_call(question: str) -> tuple[str, str, list[ChatGeneration]]:
    """Return `prompt`, `llm_string` and answer as LangChain passes them to a cache."""
    model = ChatOpenAI(model="gpt-4o-mini", temperature=0, api_key="none")
    prompt = dumps([SystemMessage(SYSTEM), HumanMessage(question)])
    message = AIMessage(
        content="That is covered. Send us a photo of the wheel and of the box within 30 days.",
        id="run-7f3c-0",
        response_metadata={
            "token_usage": {
                "completion_tokens": 19,
                "prompt_tokens": 131,
                "total_tokens": 150,
                "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            },
            "model_provider": "openai",
            "model_name": "gpt-4o-mini-2024-07-18",
            "system_fingerprint": "fp_1",
            "id": "chatcmpl-1",
            "finish_reason": "stop",
            "logprobs": None,
        },
        usage_metadata={
            "input_tokens": 131,
            "output_tokens": 19,
            "total_tokens": 150,
            "input_token_details": {"audio": 0, "cache_read": 0},
            "output_token_details": {"audio": 0, "reasoning": 0},
        },
    )
    info = {"finish_reason": "stop", "logprobs": None}
    answer = [ChatGeneration(message=message, generation_info=info)]
    return prompt, model._get_llm_string(), answer
