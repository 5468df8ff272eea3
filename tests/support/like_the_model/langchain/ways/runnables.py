"""A model as a Runnable: retries, fallbacks, configuration, listeners, composition."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import (
    ConfigurableField,
    RunnableBranch,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
    chain,
)

from support.like_the_model.langchain.seen import whole
from support.like_the_model.langchain.use import Use, Ways

WAYS = Ways()
QUESTION = "where is Lyon?"


@WAYS.way("with_retry", at_once=True)
def _(use: Use) -> Any:
    use.server.failures.append(500)
    model = use.model().with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    return model.invoke(QUESTION, use.config)


@WAYS.way("with_retry: batch", at_once=True)
def _(use: Use) -> Any:
    model = use.model().with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    return model.batch([QUESTION, "and Ulm?"], use.config)


@WAYS.way("with_fallbacks: as the first")
def _(use: Use) -> Any:
    use.server.failures.append(500)
    return use.model().with_fallbacks([use.other()]).invoke(QUESTION, use.config)


@WAYS.way("with_fallbacks: as the fallback")
def _(use: Use) -> Any:
    use.server.failures.append(500)
    return use.other().with_fallbacks([use.model()]).invoke(QUESTION, use.config)


@WAYS.way("with_fallbacks: stream")
def _(use: Use) -> Any:
    use.server.failures.append(500)
    model = use.model().with_fallbacks([use.other()])
    return whole(list(model.stream(QUESTION, use.config)))


@WAYS.way("with_fallbacks: tools bound on both")
def _(use: Use) -> Any:
    use.server.failures.append(500)
    tools = [{"name": "stock", "description": "d", "parameters": {}}]
    model = use.model().with_fallbacks([use.other()])
    return model.bind_tools(tools).invoke(QUESTION, use.config)


@WAYS.way("configurable_fields: of the model")
def _(use: Use) -> Any:
    field = ConfigurableField(id="heat")
    model = use.model().configurable_fields(temperature=field)
    plain = model.invoke(QUESTION, use.config)
    return plain, model.with_config(configurable={"heat": 0.5}).invoke(QUESTION, use.config)


@WAYS.way("configurable_fields: that every model has")
def _(use: Use) -> Any:
    model = use.model().configurable_fields(tags=ConfigurableField(id="tags"))
    return model.with_config(configurable={"tags": ["x"]}).invoke(QUESTION, use.config)


@WAYS.way("configurable_alternatives: itself")
def _(use: Use) -> Any:
    which = ConfigurableField(id="which")
    model = use.model().configurable_alternatives(which, default_key="own", other=use.other())
    return model.invoke(QUESTION, use.config)


@WAYS.way("configurable_alternatives: the other")
def _(use: Use) -> Any:
    which = ConfigurableField(id="which")
    model = use.other().configurable_alternatives(which, other=use.model())
    return model.with_config(configurable={"which": "other"}).invoke(QUESTION, use.config)


@WAYS.way("with_config")
def _(use: Use) -> Any:
    model = use.model().with_config(tags=["x"], metadata={"y": 1}, run_name="named")
    return model.invoke(QUESTION, {"callbacks": [use.recorder]})


@WAYS.way("with_listeners")
def _(use: Use) -> Any:
    heard: list[Any] = []

    def listen(run: Any) -> None:
        heard.append((run.name, run.run_type, run.tags, run.inputs, bool(run.outputs)))

    model = use.model().with_listeners(on_start=listen, on_end=listen)
    return model.invoke(QUESTION, use.config), heard


@WAYS.way("with_alisteners")
async def _(use: Use) -> Any:
    heard: list[Any] = []

    async def listen(run: Any) -> None:
        heard.append((run.name, run.run_type, run.tags, run.inputs, bool(run.outputs)))

    model = RunnableLambda(lambda given: given) | use.model()
    listened = model.with_alisteners(on_start=listen, on_end=listen)
    return await listened.ainvoke(QUESTION, use.config), heard


@WAYS.way("with_types")
def _(use: Use) -> Any:
    return use.model().with_types(input_type=str).invoke(QUESTION, use.config)


@WAYS.way("map", at_once=True)
def _(use: Use) -> Any:
    return use.model().map().invoke([QUESTION, "and Ulm?"], use.config)


@WAYS.way("in a chain: assign and pick")
def _(use: Use) -> Any:
    steps = RunnablePassthrough.assign(
        answer=(lambda given: given["question"]) | use.model() | StrOutputParser()
    )
    return steps.pick("answer").invoke({"question": QUESTION}, use.config)


@WAYS.way("in a chain: beside another", at_once=True)
def _(use: Use) -> Any:
    both = RunnableParallel(own=use.model(), other=use.other())
    return both.invoke(QUESTION, use.config)


@WAYS.way("in a chain: in a branch")
def _(use: Use) -> Any:
    branch = RunnableBranch((lambda text: "Lyon" in text, use.model()), use.other())
    return branch.invoke(QUESTION, use.config)


@WAYS.way("in a chain: returned by a function")
def _(use: Use) -> Any:
    model = use.model()
    return RunnableLambda(lambda _: model).invoke(QUESTION, use.config)


@WAYS.way("in a chain: called by a function")
def _(use: Use) -> Any:
    model = use.model()

    @chain
    def twice(text: str) -> AIMessage:
        return model.invoke(model.invoke(text).text + "?")

    return twice.invoke(QUESTION, use.config)


@WAYS.way("in a chain: called by a coroutine")
async def _(use: Use) -> Any:
    model = use.model()

    @chain
    async def once(text: str) -> AIMessage:
        return await model.ainvoke(text)

    return await once.ainvoke(QUESTION, use.config)


@WAYS.way("as_tool")
def _(use: Use) -> Any:
    made = (RunnableLambda(lambda given: given["text"]) | use.model()).as_tool(
        name="ask", description="Asks.", arg_types={"text": str}
    )
    return made.invoke({"text": QUESTION}, use.config)


@WAYS.way("pipe, and a name")
def _(use: Use) -> Any:
    steps = use.model().pipe(StrOutputParser(), name="steps")
    return steps.invoke(QUESTION, use.config), steps.get_name()
