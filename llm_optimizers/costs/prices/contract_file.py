"""Reads a contract from a TOML or JSON file, for example:

    [[prices]]                        # dollars per million tokens, fees in dollars each
    model = "azure/gpt-4o"
    input = 2.10
    output = 8.40
    web_search = 0.008
    first_day = 2026-01-01            # UTC, included, as is last_day
    last_day = 2026-12-31
    [prices.tiers.batch]              # the whole price of a service tier
    input = 1.05
    output = 4.20
    [[prices.long_context]]           # the whole price of calls with more input
    above = 200_000
    input = 4.20
    output = 12.60

    [[discounts]]                     # off the list price
    provider = "anthropic"            # or model = "openai/gpt-4o"
    percent = 12.5

    [[hourly]]                        # committed throughput, a server of your own
    model = "vllm/llama-3.3-70b"
    dollars_per_hour = 6.88

    [names]                           # your names of models
    "my-deployment" = "azure/gpt-4o"

Every mistake is refused with the file, the key and what to give: a contract that is misread makes
every bill wrong.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

from llm_optimizers.arguments import refuse
from llm_optimizers.costs.prices.contract import Contract, Days, Discount, HourlyPrice, OwnPrice
from llm_optimizers.costs.prices.names import canonical_provider
from llm_optimizers.costs.prices.rates import FEES, TOKEN_RATES, ModelPrice
from llm_optimizers.errors import ConfigurationError

__all__ = ["read_contract"]

_DAYS = frozenset({"first_day", "last_day"})
_RATES = frozenset({*TOKEN_RATES, *FEES})
_MOST = Decimal(1_000_000)  # dollars per million tokens or each: more is a slip of the pen


def read_contract(path: Path) -> Contract:
    """Read a contract; a name ending in .json is JSON, any other TOML.

    Raises:
        ConfigurationError: the file cannot be read, or something in it is wrong.
    """
    try:
        content = path.read_bytes().decode()
        raw = _json(content) if path.suffix.lower() == ".json" else _toml(content)
        return _contract(raw)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(
            f"{path} cannot be read ({reason}); give the prices' file"
        ) from None
    except (ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
        raise ConfigurationError(f"{path} is no valid {kind} in UTF-8: {error}") from None


def _toml(content: str) -> dict[str, Any]:
    return tomllib.loads(content, parse_float=Decimal)


def _json(content: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigurationError(f"`{twice}` is there twice; keep one of them")
        return found

    return json.loads(content, parse_float=Decimal, object_pairs_hook=unique)


def _contract(raw: Any) -> Contract:
    table = _table("the file", raw, {"prices", "discounts", "hourly", "names"})
    return Contract(
        prices=tuple(_each(table, "prices", _own_price)),
        discounts=tuple(_each(table, "discounts", _discount)),
        hourly=tuple(_each(table, "hourly", _hourly)),
        names=_names(table.get("names", {})),
    )


def _each(table: Mapping[str, Any], key: str, read: Callable[[str, Any], Any]) -> list[Any]:
    entries = table.get(key, [])
    if not isinstance(entries, list):
        refuse(key, entries, f"a list: [[{key}]] in TOML, [{{…}}] in JSON")
    return [read(f"{key}[{number}]", entry) for number, entry in enumerate(entries)]


def _own_price(where: str, raw: Any) -> OwnPrice:
    extra = {"model", "batch_discount", "tiers", "long_context"}
    table = _table(where, raw, _RATES | _DAYS | extra)
    return OwnPrice(
        model=_name(where, "model", table),
        price=_price(where, table, within=True),
        days=_days(where, table),
    )


def _price(where: str, table: Mapping[str, Any], *, within: bool = False) -> ModelPrice:
    """Read rates; `within` a whole price there may also be tiers and long contexts."""
    rates: dict[str, Any] = {
        name: _number(f"{where}.{name}", table[name], most=_MOST)
        for name in table
        if name in _RATES
    }
    for name in ("input", "output"):
        if name not in rates:
            _missing(where, name, "dollars per million tokens; 0 if there are none to pay")
    if not within:
        return ModelPrice(**rates)
    if "batch_discount" in table:
        share = _number(f"{where}.batch_discount", table["batch_discount"], most=Decimal(1))
        rates["batch_discount"] = share
    tiers = _mapping(f"{where}.tiers", table.get("tiers", {}))
    longer = [
        _table(f"{where}.long_context[{number}]", each, _RATES | {"above"})
        for number, each in enumerate(_listed(f"{where}.long_context", table))
    ]
    rates["tiers"] = {name: _tier(f"{where}.tiers.{name}", each) for name, each in tiers.items()}
    rates["long_context"] = _steps(f"{where}.long_context", longer)
    try:
        return ModelPrice(**rates)
    except ConfigurationError as error:
        raise ConfigurationError(f"`{where}`: {error}") from None


def _tier(where: str, raw: Any) -> ModelPrice:
    return _price(where, _table(where, raw, _RATES))


def _steps(where: str, tables: list[Mapping[str, Any]]) -> dict[int, ModelPrice]:
    steps: dict[int, ModelPrice] = {}
    for number, table in enumerate(tables):
        name = f"{where}[{number}]"
        above = table.get("above")
        if type(above) is not int or above < 1:
            refuse(f"{name}.above", above, "a whole number of input tokens, such as 200_000")
        if above in steps:
            refuse(f"{name}.above", above, "another number than in the step before")
        steps[above] = _price(name, table)
    return steps


def _discount(where: str, raw: Any) -> Discount:
    table = _table(where, raw, {"provider", "model", "percent", "fees"} | _DAYS)
    if ("provider" in table) == ("model" in table):
        refuse(where, table, "either provider or model")
    percent = _number(f"{where}.percent", table.get("percent"), most=Decimal(100))
    if not percent:
        refuse(f"{where}.percent", percent, "the percent taken off the list price, such as 12.5")
    fees = table.get("fees", False)
    if not isinstance(fees, bool):
        refuse(f"{where}.fees", fees, "true or false")
    provider = model = None
    if "provider" in table:
        provider = canonical_provider(_name(where, "provider", table))
    else:
        model = _name(where, "model", table)
    return Discount(
        percent=percent, model=model, provider=provider, fees=fees, days=_days(where, table)
    )


def _hourly(where: str, raw: Any) -> HourlyPrice:
    table = _table(where, raw, {"model", "dollars_per_hour"} | _DAYS)
    dollars = _number(f"{where}.dollars_per_hour", table.get("dollars_per_hour"), most=_MOST)
    return HourlyPrice(
        model=_name(where, "model", table), dollars=dollars, days=_days(where, table)
    )


def _names(raw: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _mapping("names", raw):
        own = name.strip().lower()
        meant = raw[name]
        if not isinstance(meant, str) or not meant.strip() or meant.strip().lower() == own:
            refuse(f"names.{name}", meant, 'the listed model it is, such as "azure/gpt-4o"')
        if own in found:
            refuse(f"names.{name}", meant, "each name once")
        found[own] = meant.strip().lower()
    for name, meant in found.items():
        if meant in found:
            refuse(f"names.{name}", meant, f"what {meant!r} means: {found[meant]!r}")
    return found


def _days(where: str, table: Mapping[str, Any]) -> Days:
    first, last = (_day(f"{where}.{key}", table.get(key)) for key in ("first_day", "last_day"))
    if first is not None and last is not None and last < first:
        refuse(f"{where}.last_day", str(last), f"a day from first_day {first} on")
    return Days(first=first, last=last)


def _day(name: str, value: Any) -> date | None:
    day = value
    if isinstance(value, str):
        try:
            day = date.fromisoformat(value)
        except ValueError:
            day = "no day"
    if day is not None and (isinstance(day, datetime) or not isinstance(day, date)):
        refuse(name, str(value), "a day such as 2026-01-31")
    return day


def _number(name: str, value: Any, *, most: Decimal) -> Decimal:
    exact = isinstance(value, int) and not isinstance(value, bool)
    given = Decimal(value) if exact else value
    if not (isinstance(given, Decimal) and given.is_finite() and 0 <= given <= most):
        refuse(name, value, f"a number from 0 to {most:,}, such as 2.5")
    return given


def _name(where: str, key: str, table: Mapping[str, Any]) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value.strip():
        refuse(f"{where}.{key}", value, "a name, such as openai/gpt-4o or anthropic")
    return value.strip().lower()


def _listed(name: str, table: Mapping[str, Any]) -> list[Any]:
    value = table.get("long_context", [])
    if not isinstance(value, list):
        refuse(name, value, "a list of steps, each with above and its rates")
    return value


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        refuse(name, value, "a table of keys and values")
    return value


def _table(where: str, value: Any, known: Collection[str]) -> Mapping[str, Any]:
    """Check a table that has no other keys than the `known` ones."""
    table = _mapping(where, value)
    for key in table:
        if key not in known:
            refuse(f"{where}: {key}", table[key], f"only keys of {', '.join(sorted(known))}")
    return table


def _missing(where: str, key: str, give: str) -> NoReturn:
    raise ConfigurationError(f"`{where}.{key}` is missing; give {give}")
