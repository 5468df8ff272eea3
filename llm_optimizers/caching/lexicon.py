"""Words that guards and features go by: opposites, alternatives, synonyms, numbers, months.

Compact on purpose: a guard must be sure before it costs a hit, and what is not listed here is
left to the score. English only; numbers, literals and names work in every language.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

__all__ = [
    "ALTERNATIVES",
    "CLOCK_WORDS",
    "CONCEPTS",
    "CURRENCIES",
    "MONTHS",
    "NEGATORS",
    "NUMBER_WORDS",
    "ORDINAL_WORDS",
    "PHRASES",
    "SCALES",
    "SOFT_NEGATORS",
    "STOPWORDS",
    "STRICT",
    "UNITS",
    "WEEKDAYS",
    "stem",
]


@functools.lru_cache(maxsize=16_384)
def stem(word: str) -> str:
    """A lower-case English word without its commonest endings; other words unchanged."""
    if len(word) < 4 or not word.isascii():
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "shes", "ches", "xes", "zes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    if word.endswith("e") and len(word) > 3:
        word = word[:-1]
    if word.endswith("y") and len(word) > 3:
        word = word[:-1] + "i"
    return word


def _ordered(text: str) -> list[str]:
    return text.split()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEGATORS = _words(
    "not no never without cannot cant dont doesnt didnt isnt arent wasnt werent wont wouldnt "
    "couldnt shouldnt hasnt havent hadnt nor neither none nobody nothing nowhere except excluding "
    "non notlonger"
)
SOFT_NEGATORS = frozenset(
    stem(word)
    for word in _ordered(
        "unable fail failing failed failure trouble problem issue broken wrong refuse decline "
        "declined reject rejected missing stop stopped stuck difficulty impossible error "
        "lostphrase"
    )
)

STOPWORDS = _words(
    "a an the this that these those there here it its i im ive id ill me my mine we us our ours "
    "you your yours he him his she her they them their one ones some any each every all such "
    "is are am was were be been being do does did done doing have has had having will would "
    "shall should can could may might must of in on at by for with about to from into onto as "
    "and or but if so than then too very just also only really actually please kindly hi hello "
    "hey thanks thank what which who whom whose when where why how whats hows wheres whos "
    "tell know want like need let lets get got give help could would possible way ways able "
    "there's exactly simply quickly currently now ever still already again much many lot "
    "long often soon far during within while up out over am pm per via between best good go "
    "going thing things something someone anyone anybody somebody people person explain show "
    "define definition meaning describe offer offered available provide wondering wonder understand mean say question answer sure ok okay dear quick s t re ve ll d m"
) - {"best", "good", "people", "only", "again", "over", "up", "out"}

# One pole's words are joined by "=", poles are parted by "/".
_OPPOSITES = """
enable=activate=unmute=unfreeze=unblock=reactivate/disable=deactivate=mute=freeze=block
before=prior/after=since
login/logout/register
upgrade/downgrade
buy=purchase/sell/rent=lease
increase=raise=grow=boost=gain=rise/decrease=reduce=lower=shrink=drop=decline=lose=fall=cut
open=reopen/close=closed
cancel/renew/extend/resume/confirm
activate/cancel
import/export
send/receive
upload/download
deposit=topup/withdraw=withdrawal
refund/charge=charged
return/exchange
debit/credit/prepaid
minimum=min=smallest=lowest=least=fewest/maximum=max=largest=biggest=highest=most
best/worst
cheap=cheapest=cheaper/expensive
add/remove=delete/replace
create/delete=remove/edit=update=modify=rename
install/uninstall
subscribe/unsubscribe
lock/unlock
connect/disconnect
attach/detach
hide/show=unhide
enter=entry/exit=leave
join/leave
start=begin/stop=end=finish/pause=suspend
accept=approve/reject=decline=deny=refuse
allow=permit/forbid=ban=prohibit=prevent
include/exclude
incoming=inbound/outgoing=outbound
internal/external
public/private
online/offline
early=earlier=earliest/late=later=latest
fast=faster=fastest=quick/slow=slower=slowest
long=longer=longest/short=shorter=shortest
high=higher/low=lower
big=large=bigger=larger/small=smaller
more/less=fewer
new=newest=newer/old=oldest=older
first/last=final
next/previous
left/right
top/bottom
front/back
inside=indoor/outside=outdoor
upper/lower
above/below=under
win/lose=lost
lend/borrow
hire/fire
love=like/hate=dislike
pass/fail=failed
save/spend
push/pull
encrypt/decrypt
encode/decode
compress/decompress=extract
serialize/deserialize
merge/split
ascending/descending
vertical/horizontal
row/column
input/output
read/write
sync/async
client/server
frontend/backend
host/guest
employer/employee
landlord/tenant
buyer/seller
sender/recipient=receiver
teacher/student
doctor/patient
husband/wife
mother=mom=mum/father=dad
son/daughter
brother/sister
boy/girl
man=men=male/woman=women=female
king/queen
uncle/aunt
advantage=pro=benefit/disadvantage=con=drawback
cause/effect=consequence
strength/weakness
profit/loss
asset/liability
income=revenue/expense=cost
supply/demand
gross/net
wholesale/retail
import/export
domestic/international=abroad=overseas
temporary=temporarily/permanent=permanently
free/paid
optional/mandatory=required
formal/informal=casual
active/passive
positive/negative
true/false
legal/illegal
safe/dangerous=unsafe
hot/cold
winter/summer/spring/autumn=fall
day/night
morning/afternoon/evening
sunrise/sunset
breakfast/lunch/dinner
arrive=arrival/depart=departure
takeoff/landing
oneway/return=round
single/double/joint
personal/business=corporate
monthly/annual=annually=yearly/weekly/daily/hourly/quarterly
physical/virtual/digital
primary=main/secondary=backup
sender/receiver
singular/plural
synonym/antonym
mean=average/median/mode
sum=total/average/difference/product
summarize=summary=summarise/translate=translation/proofread/rewrite=rephrase=paraphrase/
expand=elaborate/explain/classify=categorize
email/sms=text/letter/fax
username/password=passcode/pin
name/address/phone/email
shipping/billing
checking/savings
weight/height/width/length/depth
north/south/east/west
red/blue/green/yellow/black/white/orange/purple/pink/brown/grey=gray
small/medium/large
bronze/silver/gold/platinum
basic/pro/premium/enterprise/starter
visa/mastercard/amex
paypal/venmo/klarna/stripe
child=children=kid/adult/senior/teenager=teen/infant=baby/toddler
cat/dog/horse/bird/fish
apple/banana/pear/mango
tea/coffee/milk/juice/beer/wine
chicken/beef/pork/lamb/turkey/tofu
rice/pasta/bread/potato
sugar/salt/pepper
gain/lose
male/female
beginner/intermediate/expert=advanced
junior/senior
manager/employee
admin=administrator/member/guest/viewer/editor/owner
staging/production
development/production
debug/release
train/test/validation
train/bus/plane=flight/car/taxi/ferry
hotel/hostel/apartment
bike=bicycle/motorcycle/scooter
mobile=phone=smartphone/desktop=laptop/tablet
chrome/firefox/safari/edge
mysql/postgres=postgresql/sqlite/mongodb/redis
aws/azure/gcp
list/dictionary=dict/tuple/set
string/integer=int/float/boolean
class/function=method
loop/recursion
stack/queue/heap
mitosis/meiosis
virus/bacteria
hardware/software
planet/star/moon/sun
"""

# Groups in which a word present in only one of two texts already changes the answer.
_STRICT = """
french=français/german=deutsch/spanish=español=castilian/italian/portuguese/dutch/russian/
chinese=mandarin/cantonese/japanese/korean/arabic/hindi/turkish/swedish/norwegian/danish/
finnish/greek/latin/english
json/csv=spreadsheet/yaml/xml/html/markdown/pdf/latex/toml/docx/excel=xlsx/parquet
bullet=bullets/table=tabular/paragraph=prose/haiku/poem/limerick/tweet/essay/headline
python/javascript=js/typescript=ts/java/rust/golang/ruby/php/kotlin/scala/perl/matlab/julia/
bash=shell/powershell/sql/c++/c#
ios=iphone=ipad/android/windows/mac=macos/linux=ubuntu
formal=formally/informal=casual=friendly/sarcastic/humorous=funny
"""

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

NUMBER_WORDS: Mapping[str, float] = {
    word: float(value)
    for value, word in enumerate(
        _ordered(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen "
        "fourteen fifteen sixteen seventeen eighteen nineteen"
    )
    )
} | {
    word: float(10 * value)
    for value, word in enumerate(
        _ordered(
        "twenty thirty forty fifty sixty seventy eighty ninety"
    ), start=2
    )
} | {"dozen": 12.0, "half": 0.5, "twice": 2.0, "double": 2.0, "triple": 3.0, "thrice": 3.0}  # fmt: skip
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

# Each line: what the phrases mean | the phrases. Longest first is seen to where they are used.
_PHRASES = """
login | log in, log into, logging in, logging into, logged in, logged into, sign in, sign into
login | signing in, signing into, signed in, log on, log back in, get into
logout | log out, sign out, logging out, signing out, log off, sign off
register | sign up, signing up, signed up, create an account, open an account, make an account
setup | set up, setting up
topup | top up, top-up, topping up, topped up, tops up
disable | turn off, switch off, shut off, turning off, switching off, turned off, opt out
enable | turn on, switch on, turning on, switching on, turned on, opt in
delete | get rid of, take down, take off, wipe out
checkin | check in, check-in, checking in
checkout | check out, check-out, checking out
why | how come, what is the reason, what's the reason, what are the reasons, what is the cause
why | what causes, what caused, what makes, for what reason, what could be the reason
why | reason why, reasons why
howto | how do i, how can i, how to, how do you, how can you, how should i, how would i
howto | how could i, how do we, how can we, how does one, how can one, how might i
howto | what is the way to, what's the way to, what is the best way to, what's the best way to
howto | what are the steps to, steps to, what are ways to, what are some ways to
howto | what are the ways to, what is the process to, what is the process for
howto | what is the procedure for, what is the procedure to, what do i do to
howto | what should i do to, what do i need to do to, what is the easiest way to
howto | what is the best way for, how am i able to, in what way can i, where do i go to
howto | what's the process for, walk me through, guide me through, tell me how i can
howto | tell me how i
wayto | is there a way to, is there any way to, are there any ways to
skip | i dont know, not sure, im not sure, dont mind, why not, if not, or not, not only
skip | no matter, no problem, no worries, have no idea, no idea, no one, dont understand
skip | good morning, good afternoon, good evening, can you, could you, would you, can u
howlong | how long, how many days, how many weeks, how many hours, how much time
howmuch | how much, what does it cost, what is the cost, what is the price, what's the price
howmuch | what's the cost
howmany | how many, what is the number of, what number of
howoften | how often, how frequently, how regularly
when | what time, what date, what day, how soon, at what time, on what day, on which day
where | what place, which place, in what place, in which place, in which city, in which country
where | what location
who | which person, what person, what is the name of the person
mustdo | have to, need to, required to, is it necessary, is it mandatory, must i
cani | can i, may i, could i, am i able to, am i allowed to, is it possible, are we able to
cani | can we, can one, are we allowed to, is it allowed, is it ok, is it okay
whatif | what if, what happens if, what happens when, what would happen if, what will happen if
notlonger | no longer, not anymore, any more, any longer
lostphrase | can't find, cannot find, couldn't find, can't locate
summarize | sum up, give a summary, give me a summary, write a summary, make a summary, tl;dr
summarize | key points of, main points of
carryout | carry out
find | look for, looking for, look up, search for
contact | get in touch with, reach out to, talk to, speak to, speak with, talk with, get hold of
return | send back, give back, bring back, sending back
wait | hold on
receive | get my, got my
address | home address, postal address, mailing address
why | what are the causes of, what are the reasons for, what are the reasons behind
why | what is the cause of, what is the reason for, what is the reason behind
cant | unable to, am unable to, not able to, am not able to, isnt able to
define | what is the definition of, what is the meaning of, what is meant by
define | whats the meaning of, whats the definition of, definition of, meaning of
howlong | how much longer
skip | i would like to, id like to, i want to, i need to, do you know, can someone, can anyone
skip | could someone, could anyone
"""

_SYNONYMS = """
main=key=primary=principal
item=product=article
delete=remove=erase=wipe=eliminate
buy=purchase=acquire
fix=repair=resolve=solve=troubleshoot=mend=correct
change=update=modify=edit=alter=amend=switch
recover=restore=retrieve
cancel=terminate=revoke
begin=start=commence
finish=complete=end
create=make=generate=produce=write=compose=draft
show=display=view=see=look
find=locate=discover=search
learn=study=master
improve=enhance=better=boost
increase=raise=grow=gain
decrease=reduce=lower=lessen=cut=minimize
error=mistake=bug
problem=issue=trouble=difficulty
phone=mobile=cellphone=smartphone=telephone
picture=photo=image=photograph
movie=film
car=automobile=vehicle
job=career=occupation
money=cash
pay=payment=paid
shipment=delivery=deliver=ship=shipping
arrive=arrival=come
package=parcel
order=purchase
refund=reimburse=reimbursement
bill=invoice
fee=charge=cost=price
subscription=membership
plan=tier
company=firm=business=corporation
employee=worker=staff
customer=client
tip=advice=suggestion=recommendation
example=sample=instance
difference=distinction=differ=different
advantage=benefit=pro
disadvantage=drawback=con=downside
method=approach=technique
important=essential=crucial=significant
big=large=huge
small=little=tiny
fast=quick=rapid=quickly
easy=simple=easily
begin=beginner=newbie
website=site=webpage
password=passcode=passphrase
email=mail
document=file=doc
support=helpdesk
contact=reach
function=work=working
happen=occur
explain=describe=clarify
summarize=summarise=summary=condense
translate=translation
list=enumerate
compare=comparison
rewrite=rephrase=reword=paraphrase
analyze=analyse=analysis
classify=categorize=categorise=label
calculate=compute=computation=calculation
convert=transform=turn
kid=child=children
doctor=physician
country=nation
city=town
earn=make
lose=lost=misplace
steal=stolen
decline=reject=refuse=denied=deny=declined
identify=verify=verification=confirm=validate
transfer=wire=send
salary=wage=pay
exam=test
college=university
gift=present
shop=store
policy=rule
reason=cause
effect=impact=consequence
live=reside
die=death
belly=stomach
warranty=guarantee
coupon=voucher=promo=discount
cost=price
limit=cap=restriction
history=record
"""


def _alternatives(text: str) -> dict[str, tuple[tuple[str, str], ...]]:
    table: dict[str, tuple[tuple[str, str], ...]] = {}
    for line in text.replace("/\n", "/").split("\n"):
        for pole in line.split("/"):
            for word in pole.split("="):
                if word:
                    entry = (line, pole)
                    key = stem(word)
                    if entry not in table.get(key, ()):
                        table[key] = (*table.get(key, ()), entry)
    return table


ALTERNATIVES: Mapping[str, tuple[tuple[str, str], ...]] = _alternatives(_OPPOSITES.strip())
"""Stem → its (group, pole)s; two texts on different poles of a group ask different things."""

STRICT: Mapping[str, tuple[tuple[str, str], ...]] = _alternatives(_STRICT.strip())
"""As `ALTERNATIVES`; here one text on a pole and one on none differ as well."""

CONCEPTS: Mapping[str, str] = {
    stem(word): stem(group.split("=")[0])
    for group in reversed(_SYNONYMS.split())
    for word in group.split("=")
}
"""Stem → the stem that stands for its synonyms."""

PHRASES: Mapping[str, str] = {
    phrase.strip(): line.split("|")[0].strip()
    for line in _PHRASES.strip().split("\n")
    for phrase in line.split("|")[1].split(",")
}
"""Phrase → the one word that stands for it."""
