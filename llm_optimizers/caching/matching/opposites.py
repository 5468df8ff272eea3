"""Words that exclude one another: antonyms, and kinds of which a question means one.

Compact on purpose: a guard must be sure before it costs a hit, and what is not listed here is
left to the score. English only.
"""

from __future__ import annotations

from collections.abc import Mapping

from llm_optimizers.text.lexicon import stem

__all__ = ["ALTERNATIVES", "STRICT"]

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
