"""Copies of settings for one model."""

from __future__ import annotations

from llm_optimizers.settings.copies import copied


class Tools(list[str]):
    """A list that means more."""


def test_lists_and_mappings_are_new_at_every_depth_and_objects_are_the_same() -> None:
    thing = object()
    given = {"tools": [{"name": "clock", "parameters": {"properties": {}}}], "thing": thing}
    copy = copied(given)
    assert copy == given
    copy["tools"][0]["parameters"].clear()
    copy["tools"].append("another")
    assert given["tools"] == [{"name": "clock", "parameters": {"properties": {}}}]
    assert copy["thing"] is thing


def test_a_list_of_another_class_is_the_same() -> None:
    tools = Tools(["clock"])
    assert copied({"tools": tools})["tools"] is tools
