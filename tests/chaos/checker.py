"""What was accepted against what arrived: lost, duplicated, out of order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.publisher import Accepted
from tests.chaos.record import Arrival, Record


@dataclass(frozen=True)
class Verdict:
    """All three are to be 0. `told` counts clients that were told that they lost their place."""

    accepted: int
    expected: int
    arrived: int
    lost: int
    duplicates: int
    out_of_order: int
    told: int
    examples: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """True when nothing was lost, doubled or reordered."""
        return self.lost == self.duplicates == self.out_of_order == 0


def missing(accepted: Sequence[Accepted], people: Sequence[Record]) -> dict[str, list[Accepted]]:
    """By user, what should have arrived and has not.

    A person is owed what was accepted after it was first connected; what was accepted while it was away and
    told that its place was lost is not owed.
    """
    by_stream: dict[str, list[Accepted]] = {}
    for one in accepted:
        by_stream.setdefault(one.stream, []).append(one)
    found: dict[str, list[Accepted]] = {}
    for person in people:
        have = {(arrival.stream, arrival.number) for arrival in person.arrivals}
        since = person.first_connected_at
        gone = [
            one
            for stream in person.streams
            for one in by_stream.get(stream, ())
            if since is not None
            and one.at > since + 0.5
            and (one.stream, one.number) not in have
            and not any(lost - 1 <= one.at <= back + 1 for lost, back in person.told)
        ]
        if gone:
            found[person.user] = gone
    return found


def check(accepted: Sequence[Accepted], people: Sequence[Record]) -> Verdict:
    """The verdict on a run that is over."""
    gone = missing(accepted, people)
    examples = [f"{user} never got {one.stream}#{one.number}" for user, them in gone.items() for one in them]
    duplicates = out_of_order = arrived = 0
    for person in people:
        arrived += len(person.arrivals)
        counts = Counter((arrival.stream, arrival.number) for arrival in person.arrivals)
        twice = [key for key, count in counts.items() if count > 1]
        duplicates += len(twice)
        examples += [f"{person.user} got {stream}#{number} twice" for stream, number in twice]
        last: Arrival | None = None
        numbers: dict[str, int] = {}
        for arrival in person.arrivals:
            # In the order of their offsets over all channels, and in the order in which each was accepted.
            backwards = (
                last is not None and last.offset[0] == arrival.offset[0] and arrival.offset < last.offset
            )
            if backwards or arrival.number < numbers.get(arrival.stream, 0):
                out_of_order += 1
                examples.append(f"{person.user}: {arrival} after {last}")
            last = arrival
            numbers[arrival.stream] = arrival.number
    streams = Counter(one.stream for one in accepted)
    expected = sum(streams[stream] for person in people for stream in person.streams)
    return Verdict(
        accepted=len(accepted),
        expected=expected,
        arrived=arrived,
        lost=sum(map(len, gone.values())),
        duplicates=duplicates,
        out_of_order=out_of_order,
        told=sum(len(person.told) for person in people),
        examples=tuple(examples[:20]),
    )
