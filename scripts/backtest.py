"""Say how far off forecasts would have been: on load that is made up, with days and weeks, and on load that was recorded.

    scripts/backtest                          all tables, in a minute
    scripts/backtest --record FILE            record a load of half an hour, through two brokers, as CSV
    scripts/backtest --record FILE --minutes 60

Made-up load is that of an organisation: a day with a high noon and a dead night, a week with a quiet end, growth, and noise
(log-normal of 15 percent, over that of chance). Each forecast is made with what was known then, and compared with what came.
`error` is the sum of what forecasts were off by, as a share of the sum of what came; `inside` says how many values lay in their
band, which is made for nine in ten. Beside it stands what the same hour of the week before (or of the day before, in the first
week) would have said, and what the same hour of the day before would. Also: how often an alive peer was called suspicious, how
long before its push timed out a dead one was, and what all of it takes.

The recorded series is in tests/data: two brokers, a publisher whose rate follows "days" of four minutes, with the noise of a
busy machine; each line is what `GET /cluster/trends` and `GET /list_replicas` said after five seconds. For its back-test a
"day" of it stands for a day.
"""

from __future__ import annotations

import argparse
import csv
import math
import random
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Final

from brokers import Broker, free_ports, get, post, wait_in_sync
from newswire.core.foresight.growth import Growth
from newswire.core.foresight.outlook import Foresight, Sample
from newswire.core.foresight.seasons import HORIZON_HOURS, Seasons
from newswire.core.foresight.suspicion import SUSPICIOUS, Suspicion
from newswire.core.foresight.topics import Topics
from newswire.core.model.forecasts import Band, Past

RECORD: Final = Path(__file__).resolve().parent.parent / "tests" / "data" / "recorded-load.csv"
FIELDS: Final = ("time", "messages", "ops_file", "streams", "commit_ms", "phi")
DAY_SECONDS: Final = 240.0  # of the recorded load
SLOT_SECONDS: Final = DAY_SECONDS / 24
MOST_RATE: Final = 60.0
WEEK: Final = 168


def record(file: Path, minutes: float) -> None:
    """Record a load through two brokers."""
    chance, ended = random.Random(1), threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        ports = free_ports(2)
        brokers = [Broker(f"100{at + 1}", ports[at], Path(folder), peers=[ports[1 - at]], primary=at == 0) for at in (0, 1)]
        try:
            for broker in brokers:
                broker.start()
            wait_in_sync(brokers)
            address, began = brokers[0].address, time.monotonic()

            def publish() -> None:
                while not ended.is_set():
                    passed = (time.monotonic() - began) / DAY_SECONDS
                    day = 0.1 + max(0.0, math.sin((passed % 1 - 0.2) * 2 * math.pi))
                    rate = MOST_RATE * day * (0.3 if int(passed) % 7 >= 5 else 1.0) * math.exp(chance.gauss(0, 0.15))
                    for _ in range(round(rate / 2)):
                        post(address, "/publish", topic=f"load.{chance.randrange(5)}", data="x" * chance.randrange(20, 400))
                    ended.wait(0.5)

            thread = threading.Thread(target=publish, daemon=True)
            thread.start()
            with open(file, "w", newline="") as written:
                rows = csv.writer(written)
                rows.writerow(FIELDS)
                last = 0
                while time.monotonic() - began < 60 * minutes:
                    time.sleep(5)
                    recent = get(address, "/cluster/trends", after=str(last))["recent"]
                    phi = max(row.get("phi") or 0.0 for row in get(address, "/list_replicas"))
                    for at, moment in enumerate(recent["times"]):
                        columns = recent["columns"]
                        rows.writerow([moment, *(columns[name][at] for name in FIELDS[1:5]), phi])
                        last = moment
                    written.flush()
            ended.set()
            thread.join(10)
        finally:
            for broker in brokers:
                broker.stop()


# -- made-up load --------------------------------------------------------------------------------------------------


def made_up(kind: str, weeks: int, seed: int) -> list[float]:
    """Hours of so many weeks: messages in each."""
    chance, hours = random.Random(seed), []
    for hour in range(weeks * WEEK):
        mean = 1_000.0
        if kind != "flat":
            mean *= 0.1 + 2 * max(0.0, math.sin((hour % 24 - 5) / 24 * 2 * math.pi))
        if kind in ("weekly", "growing") and hour // 24 % 7 >= 5:
            mean *= 0.2
        if kind == "growing":
            mean *= 1 + 0.05 * hour / WEEK
        mean *= math.exp(chance.gauss(0, 0.15))
        hours.append(max(0.0, chance.gauss(mean, math.sqrt(mean))))
    return hours


class Score:
    """Sums of what was off, and of what came."""

    def __init__(self) -> None:
        self.count = self.inside = 0
        self.came = self.off = self.week_before = self.day_before = 0.0

    def row(self, name: str) -> str:
        """A line of a table of docs/results.md."""
        shares = (f"{100 * part / self.came:.0f} %" for part in (self.off, self.week_before, self.day_before))
        return f"| {name} | {' | '.join(shares)} | {100 * self.inside / self.count:.0f} % |"


def score_hours(hours: Sequence[float], start: int, score: Score) -> None:
    """Forecast each hour a day ahead, from `start` on."""
    seasons, made = Seasons(), dict[int, Band]()
    for hour, value in enumerate(hours):
        if hour >= start and (band := made.pop(hour, None)) is not None:
            score.count += 1
            score.inside += band.low <= value <= band.high
            score.came += value
            score.off += abs(value - band.middle)
            score.week_before += abs(value - hours[hour - WEEK if hour >= WEEK else hour - 24])
            score.day_before += abs(value - hours[hour - 24])
        seasons.take(value)
        if bands := seasons.ahead(HORIZON_HOURS):
            made[hour + HORIZON_HOURS] = bands[-1]


def print_rates() -> None:
    """Messages, a day ahead."""
    print("| messages an hour, a day ahead | error | of the week before | of the day before | inside |\n|---|---|---|---|---|")
    for kind, weeks, start, words in (
        ("flat", 4, 72, "no season, from the third day on"),
        ("daily", 4, 72, "days, from the third day on"),
        ("weekly", 2, 72, "weeks, of which it has not seen two"),
        ("weekly", 8, 3 * WEEK, "weeks, from the fourth on"),
        ("growing", 8, 3 * WEEK, "weeks that grow by 5 percent each, from the fourth on"),
    ):
        score = Score()
        for seed in range(5):
            score_hours(made_up(kind, weeks, seed), start, score)
        print(score.row(words))


def print_disks() -> None:
    """When a disk is full."""
    print("\n| disk full in | known | error | inside |\n|---|---|---|---|")
    for kind in ("flat", "daily", "weekly"):
        for known in (6, 30, 54, 96, 168):
            inside = count = 0
            off = 0.0
            for seed in range(5):
                sums = list(accumulate(made_up(kind, 6, seed), initial=0.0))
                for at in range(200, 3 * WEEK, 11):
                    for ahead in (24, WEEK, 2 * WEEK):
                        growth = Growth()
                        for step in range((at - known) * 6, at * 6 + 1):
                            hour, part = divmod(step, 6)
                            growth.note(step * 600.0, int(1_000 * (sums[hour] + (sums[hour + 1] - sums[hour]) * part / 6)))
                        full, real = growth.full_in(int(1_000 * (sums[at + ahead] - sums[at]))), ahead * 3_600
                        if full is None:
                            continue
                        earliest, latest = full
                        count += 1
                        inside += earliest <= real and (latest is None or real <= latest)
                        middle = earliest if latest is None else 2 / (1 / max(1, earliest) + 1 / latest)
                        off += abs(middle - real) / real
            days = f"{known} hours" if known < 48 else f"{known / 24:g} days"
            print(f"| 1, 7, 14 days, {kind} | {days} | {100 * off / count:.0f} % | {100 * inside / count:.0f} % |")


def print_topics() -> None:
    """False alarms, and how soon a change is told."""
    false = topics_days = 0
    late: dict[str, list[int]] = {"five times as much": [], "nothing": []}
    for seed in range(20):
        chance, topics = random.Random(seed), Topics()
        hours = made_up("weekly", 6, seed)
        for hour in range(4 * WEEK):
            topics.learn(hour, {"news": round(hours[hour])})
        was = False
        for hour in range(4 * WEEK, 6 * WEEK):
            for _ in range(6):
                for _ in range(10):
                    mean = hours[hour] / 60
                    topics.take({"news": max(0, round(chance.gauss(mean, math.sqrt(mean))))})
                    topics.look(hour)
                topics.end_slot(hour)
                false += bool(topics.unusual) and not was
                was = bool(topics.unusual)
            topics.end_hour(hour)
        topics_days += 14
        for words, factor in (("five times as much", 5.0), ("nothing", 0.0)):
            noon = 6 * WEEK + 12
            for minute in range(180):
                topics.take({"news": round(1_500 / 60 * (factor if minute >= 60 else 1.0))})
                topics.look(noon + minute // 60)
                if minute % 10 == 9:
                    topics.end_slot(noon + minute // 60)
                if minute >= 60 and topics.unusual:
                    late[words].append(minute - 59)
                    break
            else:
                late[words].append(999)
            for minute in range(70):
                topics.take({"news": 25})
                if minute % 10 == 9:
                    topics.end_slot(noon)
    print(f"\ntopics: {false} false alarms in {topics_days} days of a topic; minutes until told, median and most:")
    for words, minutes in late.items():
        print(f"  {words}: {sorted(minutes)[len(minutes) // 2]}, {max(minutes)}")


def print_suspicion() -> None:
    """An alive peer on a machine that is busy, and one that stops to answer."""
    suspicious = pushes = 0
    early: list[float] = []
    for seed in range(10):
        chance, suspicion, clock = random.Random(seed), Suspicion(5.0), 0.0
        was = 0.0
        suspicion.look(clock)
        for _ in range(2 * 720):  # two hours
            suspicion.ask(clock)
            clock = wait(suspicion, clock, min(1.9, math.exp(chance.gauss(math.log(0.01), 1.0))))  # 10 ms; 1 in 1,000: 0.2 s
            suspicion.answer(clock)
            suspicion.hear(clock)
            pushes += 1
            suspicious += suspicion.phi >= SUSPICIOUS > was
            was = suspicion.phi
            clock = wait(suspicion, clock, 5)
        suspicion.ask(clock)
        for step in range(41):
            clock = wait(suspicion, clock, 0.05)
            if suspicion.phi >= SUSPICIOUS:
                early.append(2.0 - step * 0.05)
                break
    print(
        f"\nphi: an alive peer suspicious {suspicious} times in {pushes} pushes; one that does not answer {min(early):.2f} to"
    )
    print(f"  {max(early):.2f} s before its push times out ({len(early)} of 10)")


def wait(suspicion: Suspicion, clock: float, seconds: float) -> float:
    """Let time pass, and look on as the core does; what time it is then."""
    end = clock + seconds
    while clock + 0.05 <= end:
        clock += 0.05
        suspicion.look(clock)
    return end


# -- recorded load -------------------------------------------------------------------------------------------------


def print_recorded(file: Path) -> None:
    """The recorded series: its rate with a "day" for a day, its ops file, and its peers."""
    with open(file, newline="") as read:
        rows = list(csv.DictReader(read))
    times = [int(row["time"]) / 1000 for row in rows]
    slots: dict[int, list[float]] = {}
    for time_, row in zip(times, rows, strict=True):
        slots.setdefault(int((time_ - times[0]) / SLOT_SECONDS), []).append(float(row["messages"]))
    hours = [sum(slots[at]) / len(slots[at]) if at in slots else 0.0 for at in range(max(slots))]
    score = Score()
    score_hours(hours, 48, score)
    print(f"\n| recorded, {len(hours) / 24:.1f} days | error | of the week before | of the day before | inside |")
    print("|---|---|---|---|---|")
    print(score.row("messages, a day ahead, from the third day on"))
    inside = count = 0
    off = 0.0
    scale = 86_400 / DAY_SECONDS
    for at in range(0, len(rows), 6):
        growth = Growth()
        for time_, row in zip(times[: at + 1], rows[: at + 1], strict=True):
            growth.note((time_ - times[0]) * scale, int(float(row["ops_file"])))
        ahead = next((later for later in range(at, len(rows)) if times[later] - times[at] >= 1.5 * DAY_SECONDS), None)
        if ahead is None or (times[at] - times[0]) * scale < 2 * 86_400:
            continue
        full = growth.full_in(int(float(rows[ahead]["ops_file"]) - float(rows[at]["ops_file"])))
        real = (times[ahead] - times[at]) * scale
        if full is None:
            continue
        count += 1
        inside += full[0] <= real and (full[1] is None or real <= full[1])
        middle = full[0] if full[1] is None else 2 / (1 / max(1, full[0]) + 1 / full[1])
        off += abs(middle - real) / real
    if count:
        print(f"| disk full in 1.5 days, from the third on | {100 * off / count:.0f} % | | | {100 * inside / count:.0f} % |")
    phis = [float(row["phi"]) for row in rows]
    told = sum(phi >= SUSPICIOUS > before for before, phi in pairwise([0.0, *phis]))
    minutes = (times[-1] - times[0]) / 60
    print(f"\nphi of the peer: {told} times suspicious in {minutes:.0f} minutes, most {max(phis):.1f}; none was down")


def print_costs() -> None:
    """Memory and processor of all of it."""
    tracemalloc.start()
    foresight, counts = Foresight(), {f"topic.{number}": 60 for number in range(1_000)}
    hours = 2 * WEEK
    foresight.restore(Past(first=500_000 - hours, hours=[counts] * hours, peaks=[20.0] * hours), 0.0, 500_000 * 3_600_000)
    for step in range(1_600):  # so that rings are full
        foresight.recent.add(step, {})
        foresight.minutes.add(step, {})
    memory, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    start, minutes = time.process_time(), 70
    for step in range(minutes * 12):
        sample = Sample(clock=step * 5.0, wall=500_000 * 3_600_000 + step * 5_000, seconds=5.0, counts=counts)
        foresight.take(sample)
    used = time.process_time() - start
    print(f"\n1,000 topics: {memory / 1e6:.1f} MB, {1000 * used / minutes:.1f} ms of a processor a minute")


def main() -> int:
    """Run; the status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, default=None)
    parser.add_argument("--minutes", type=float, default=30.0)
    told = parser.parse_args()
    if told.record is not None:
        record(told.record, told.minutes)
        return 0
    print_rates()
    print_disks()
    print_topics()
    print_suspicion()
    if RECORD.exists():
        print_recorded(RECORD)
    print_costs()
    return 0


if __name__ == "__main__":
    sys.exit(main())
