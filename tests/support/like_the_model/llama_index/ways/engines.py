"""Query engines, chat engines, evaluators and pipelines."""

from __future__ import annotations

from typing import Any

from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine import (
    CondensePlusContextChatEngine,
    CondenseQuestionChatEngine,
    ContextChatEngine,
    SimpleChatEngine,
)
from llama_index.core.evaluation import (
    CorrectnessEvaluator,
    FaithfulnessEvaluator,
    RelevancyEvaluator,
)
from llama_index.core.extractors import KeywordExtractor
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.postprocessor import LLMRerank
from llama_index.core.query_engine import (
    CitationQueryEngine,
    RetrieverQueryEngine,
    RouterQueryEngine,
    SubQuestionQueryEngine,
)
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.selectors import (
    LLMMultiSelector,
    LLMSingleSelector,
    PydanticMultiSelector,
    PydanticSingleSelector,
)
from llama_index.core.tools import QueryEngineTool
from support.like_the_model.llama_index.ways.structured import Town
from support.like_the_model.llama_index.ways.way import Lab, pieces, way
from support.llama_fakes import HashEmbedding

ASKED = "Where is the source of the Danube?"
TEXTS = ("The Danube rises in Donaueschingen.", "The Rhine rises in the Alps.")


class Fixed(BaseRetriever):
    """Finds the same nodes for every question."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        nodes = [TextNode(id_=str(number), text=text) for number, text in enumerate(TEXTS)]
        return [NodeWithScore(node=node, score=1.0) for node in nodes]


def _engine(llm: Any, mode: ResponseMode, **options: Any) -> RetrieverQueryEngine:
    made = get_response_synthesizer(llm=llm, response_mode=mode, **options)
    return RetrieverQueryEngine(Fixed(), response_synthesizer=made)


_MODES = (
    ResponseMode.COMPACT,
    ResponseMode.REFINE,
    ResponseMode.TREE_SUMMARIZE,
    ResponseMode.SIMPLE_SUMMARIZE,
    ResponseMode.ACCUMULATE,
)


def _query(mode: ResponseMode) -> Any:
    return lambda llm, lab: str(_engine(llm, mode).query(ASKED))


for _mode in _MODES:
    way(f"query engine, {_mode.value}")(_query(_mode))


@way("query engine, async")
async def _aquery(llm: Any, lab: Lab) -> Any:
    return str(await _engine(llm, ResponseMode.COMPACT).aquery(ASKED))


@way("query engine, stream")
def _stream(llm: Any, lab: Lab) -> Any:
    return str(_engine(llm, ResponseMode.COMPACT, streaming=True).query(ASKED))


@way("query engine, async stream")
async def _astream(llm: Any, lab: Lab) -> Any:
    answer = await _engine(llm, ResponseMode.COMPACT, streaming=True).aquery(ASKED)
    return "".join(await pieces(answer.async_response_gen()))  # type: ignore[union-attr]


@way("query engine with an output class")
def _typed(llm: Any, lab: Lab) -> Any:
    return _engine(llm, ResponseMode.COMPACT, output_cls=Town).query(ASKED).response


@way("query engine over a structured LLM")
def _structured(llm: Any, lab: Lab) -> Any:
    return _engine(llm.as_structured_llm(Town), ResponseMode.COMPACT).query(ASKED).response


@way("query engine of an index by Settings.llm")
def _index(llm: Any, lab: Lab) -> Any:
    Settings.llm = llm
    Settings.embed_model = HashEmbedding()
    index = VectorStoreIndex.from_documents([Document(text=text) for text in TEXTS])
    return str(index.as_query_engine(similarity_top_k=1).query(ASKED))


def _tools(llm: Any) -> list[QueryEngineTool]:
    return [
        QueryEngineTool.from_defaults(
            _engine(llm, ResponseMode.COMPACT), name=name, description=f"About {name}."
        )
        for name in ("rivers", "towns")
    ]


@way("sub-question engine")
def _sub_question(llm: Any, lab: Lab) -> Any:
    engine = SubQuestionQueryEngine.from_defaults(
        _tools(llm),
        llm=llm,
        question_gen=LLMQuestionGenerator.from_defaults(llm=llm),
        response_synthesizer=get_response_synthesizer(llm=llm),
        verbose=False,
        use_async=False,
    )
    return str(engine.query(ASKED))


_SELECTORS = {
    "LLMSingleSelector": LLMSingleSelector,
    "LLMMultiSelector": LLMMultiSelector,
    "PydanticSingleSelector": PydanticSingleSelector,
    "PydanticMultiSelector": PydanticMultiSelector,
}


def _routed(selector: Any) -> Any:
    def use(llm: Any, lab: Lab) -> Any:
        engine = RouterQueryEngine.from_defaults(
            _tools(llm), llm=llm, selector=selector.from_defaults(llm=llm)
        )
        return str(engine.query(ASKED))

    return use


for _name, _selector in _SELECTORS.items():
    way(f"router engine, {_name}")(_routed(_selector))


@way("citation engine")
def _citation(llm: Any, lab: Lab) -> Any:
    index = VectorStoreIndex(
        [TextNode(id_="1", text=TEXTS[0])], embed_model=HashEmbedding(), show_progress=False
    )
    engine = CitationQueryEngine.from_args(index, llm=llm, similarity_top_k=1)
    return str(engine.query(ASKED))


@way("LLMRerank")
def _rerank(llm: Any, lab: Lab) -> Any:
    found = LLMRerank(llm=llm, choice_batch_size=2, top_n=1).postprocess_nodes(
        Fixed().retrieve(ASKED), query_str=ASKED
    )
    return [node.get_content() for node in found]


_HISTORY = [ChatMessage("Hello."), ChatMessage("Good day.", role="assistant")]


def _simple(llm: Any) -> Any:
    return SimpleChatEngine.from_defaults(llm=llm, chat_history=list(_HISTORY))


def _condense(llm: Any) -> Any:
    return CondenseQuestionChatEngine.from_defaults(
        _engine(llm, ResponseMode.COMPACT), llm=llm, chat_history=list(_HISTORY)
    )


def _context(llm: Any) -> Any:
    return ContextChatEngine.from_defaults(Fixed(), llm=llm, chat_history=list(_HISTORY))


def _condense_plus(llm: Any) -> Any:
    return CondensePlusContextChatEngine.from_defaults(
        Fixed(), llm=llm, chat_history=list(_HISTORY)
    )


for _name, _make in {
    "simple": _simple,
    "condense question": _condense,
    "context": _context,
    "condense plus context": _condense_plus,
}.items():

    @way(f"chat engine, {_name}")
    def _chat(llm: Any, lab: Lab, make: Any = _make) -> Any:
        return str(make(llm).chat(ASKED))

    @way(f"chat engine, {_name}, async")
    async def _achat(llm: Any, lab: Lab, make: Any = _make) -> Any:
        return str(await make(llm).achat(ASKED))


@way("chat engine, simple, async stream")
async def _astream_chat(llm: Any, lab: Lab) -> Any:
    answer = await _simple(llm).astream_chat(ASKED)
    return "".join(await pieces(answer.async_response_gen()))


_EVALUATORS = {
    "FaithfulnessEvaluator": FaithfulnessEvaluator,
    "RelevancyEvaluator": RelevancyEvaluator,
    "CorrectnessEvaluator": CorrectnessEvaluator,
}
for _name, _evaluator in _EVALUATORS.items():

    @way(_name)
    async def _evaluate(llm: Any, lab: Lab, kind: Any = _evaluator) -> Any:
        found = await kind(llm=llm).aevaluate(
            query=ASKED, response=TEXTS[0], contexts=list(TEXTS), reference=TEXTS[0]
        )
        return [found.passing, found.score, found.feedback]


@way("IngestionPipeline with an extractor")
def _pipeline(llm: Any, lab: Lab) -> Any:
    extractor = KeywordExtractor(llm=llm, show_progress=False)

    async def run() -> Any:
        nodes = [TextNode(id_=str(number), text=text) for number, text in enumerate(TEXTS)]
        return await IngestionPipeline(transformations=[extractor]).arun(nodes=nodes)

    return [node.metadata for node in lab.runner.run(run())]
