"""Words that guards and features go by: negators, function words, synonyms, set phrases.

Compact on purpose: a guard must be sure before it costs a hit, and what is not listed here is
left to the score. English only.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

__all__ = [
    "CONCEPTS",
    "NEGATORS",
    "PHRASES",
    "SOFT_NEGATORS",
    "STOPWORDS",
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
        "lostphrase forgot forget forgotten"
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
    "define definition meaning describe offer offered available provide wondering wonder "
    "understand mean say question answer sure ok okay dear quick s t re ve ll d m"
) - {"best", "good", "people", "only", "again", "over", "up", "out"}

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
mustdo | do i need to, do i have to, do we need to, do we have to, do you need to, do you have to
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
