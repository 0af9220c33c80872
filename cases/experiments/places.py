"""Reading at a place of the input: what several experiments have in common."""

from __future__ import annotations

from knowncircuits import rasp


def read_at(place: int, variable: rasp.SOp, default: rasp.Value = 0) -> rasp.Aggregate:
    """What a variable is at one place, known at every position: by a head of its own."""
    there = rasp.Select(rasp.indices, rasp.Full(place), rasp.Comparison.EQ)
    return rasp.Aggregate(there, variable, default=default)


def digit_at(place: int, digits: rasp.SOp) -> rasp.SOp:
    """The number at one place."""
    return rasp.numerical(read_at(place, digits)).named(f"digit_{place}")
