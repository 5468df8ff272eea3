"""Words for amounts and times: currencies, units, months, weekdays, spelled-out numbers."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "CLOCK_WORDS",
    "CURRENCIES",
    "MONTHS",
    "NUMBER_WORDS",
    "ORDINAL_WORDS",
    "SCALES",
    "UNITS",
    "WEEKDAYS",
]


def _ordered(text: str) -> list[str]:
    return text.split()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


CURRENCIES: Mapping[str, str] = {
    "$": "usd", "us$": "usd", "usd": "usd", "dollar": "usd", "dollars": "usd", "buck": "usd",
    "bucks": "usd", "€": "eur", "eur": "eur", "euro": "eur", "euros": "eur", "£": "gbp",
    "gbp": "gbp", "quid": "gbp", "sterling": "gbp", "¥": "jpy", "jpy": "jpy", "yen": "jpy",
    "₹": "inr", "inr": "inr", "rupee": "inr", "rupees": "inr", "rs": "inr", "chf": "chf",
    "francs": "chf", "franc": "chf", "aud": "aud", "cad": "cad", "nzd": "nzd", "sek": "sek",
    "nok": "nok", "dkk": "dkk", "pln": "pln", "zloty": "pln", "cny": "cny", "yuan": "cny",
    "rmb": "cny", "krw": "krw", "₩": "krw", "rub": "rub", "₽": "rub", "rouble": "rub",
    "ruble": "rub", "btc": "btc", "bitcoin": "btc", "eth": "eth", "ethereum": "eth",
    "peso": "mxn", "pesos": "mxn", "mxn": "mxn", "zar": "zar", "aed": "aed",
    "dirham": "aed", "dirhams": "aed", "lira": "try",
}  # fmt: skip

# After a number (or "a", "per", "in"): what it counts in.
UNITS: Mapping[str, str] = {
    name: pole.split("=")[0]
    for pole in _ordered(
        "second=seconds=sec=secs minute=minutes=min=mins hour=hours=hr=hrs day=days "
        "week=weeks=wk=wks month=months year=years=yr=yrs decade=decades century=centuries "
        "millisecond=milliseconds=ms kg=kilo=kilos=kilogram=kilograms g=gram=grams "
        "mg=milligram=milligrams lb=lbs ounce=ounces=oz ton=tons=tonne=tonnes "
        "km=kilometer=kilometers=kilometre=kilometres cm=centimeter=centimeters "
        "m=meter=meters=metre=metres mm=millimeter=millimeters mile=miles=mi foot=feet=ft "
        "inch=inches yard=yards liter=liters=litre=litres=l ml=milliliter=milliliters "
        "gallon=gallons cup=cups pint=pints tablespoon=tablespoons=tbsp "
        "teaspoon=teaspoons=tsp kb=kilobyte=kilobytes mb=megabyte=megabytes "
        "gb=gigabyte=gigabytes tb=terabyte=terabytes bit=bits byte=bytes celsius=centigrade "
        "fahrenheit kelvin mph kmh=kph watt=watts=w kw=kilowatt=kilowatts volt=volts "
        "calorie=calories=kcal percent=%=percentage=pct word=words sentence=sentences "
        "paragraph=paragraphs page=pages line=lines character=characters item=items "
        "person=persons"
    )
    for name in pole.split("=")
}

MONTHS: Mapping[str, str] = {
    name: full
    for full in _ordered(
        "january february march april may june july august september october november december"
    )
    for name in (full, full[:3])
} | {"sept": "september"}
WEEKDAYS: Mapping[str, str] = {
    name: full
    for full in _ordered(
        "monday tuesday wednesday thursday friday saturday sunday"
    )
    for name in (full, full + "s", full[:3])
} | {"tues": "tuesday", "thur": "thursday", "thurs": "thursday", "weekend": "weekend",
     "weekends": "weekend"}  # fmt: skip
CLOCK_WORDS = _words(
    "today tomorrow yesterday tonight noon midnight morning afternoon evening overnight easter "
    "christmas halloween thanksgiving ramadan diwali hanukkah spring summer autumn winter"
)

NUMBER_WORDS: Mapping[str, float] = (
    {
        word: float(value)
        for value, word in enumerate(
            _ordered(
                "zero one two three four five six seven eight nine ten eleven twelve thirteen "
                "fourteen fifteen sixteen seventeen eighteen nineteen"
            )
        )
    }
    | {
        word: float(10 * value)
        for value, word in enumerate(
            _ordered("twenty thirty forty fifty sixty seventy eighty ninety"), start=2
        )
    }
    | {"dozen": 12.0, "half": 0.5, "twice": 2.0, "double": 2.0, "triple": 3.0, "thrice": 3.0}
)
SCALES: Mapping[str, float] = {
    "hundred": 1e2, "thousand": 1e3, "k": 1e3, "million": 1e6, "mn": 1e6, "billion": 1e9,
    "bn": 1e9, "trillion": 1e12, "lakh": 1e5, "crore": 1e7,
}  # fmt: skip
ORDINAL_WORDS: Mapping[str, float] = {
    word: float(value)
    for value, word in enumerate(
        _ordered(
            "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
        ),
        start=1,
    )
}
