"""Arithmetic on numbers, their neighbours, their positions and their count."""

from __future__ import annotations

from knowncircuits import rasp
from knowncircuits.cases.alphabets import NUMBERS
from knowncircuits.cases.case import Case
from knowncircuits.cases.positions import (
    count_positions,
    element_at,
    element_from_end,
    gather,
    scatter,
)
from knowncircuits.rasp.expressions import BinaryFunction


def sum_last_two_digits() -> rasp.SOp:
    """The sum of a number's last two digits."""
    ones = rasp.Map(lambda x: x % 10, rasp.tokens).named("ones")
    tens = rasp.Map(lambda x: x // 10 % 10, rasp.tokens).named("tens")
    return tens + ones


def double_first_half() -> rasp.SOp:
    """Twice each number in the first half, with the middle; the numbers themselves after it."""
    in_first_half = rasp.SequenceMap(lambda i, n: i < n / 2, rasp.indices, rasp.make_length())
    return rasp.SequenceMap(
        lambda early, x: 2 * x if early else x, in_first_half.named("in_first_half"), rasp.tokens
    )


def halve_second_half() -> rasp.SOp:
    """Half of each number in the second half, with the middle; the numbers themselves before it."""
    half = (rasp.make_length() // 2).named("half_length")
    in_second_half = (rasp.indices >= half).named("in_second_half")
    return rasp.SequenceMap(lambda late, x: x / 2 if late else x, in_second_half, rasp.tokens)


def mean_of_first_and_last() -> rasp.SOp:
    """The mean of the first and the last number, which is the first of the reversed input."""
    to_first = rasp.Select(rasp.indices, rasp.indices, lambda key, query: key == 0)
    reverse = scatter(lambda i, n: n - 1 - i, count_positions()).named("reverse")
    first = rasp.Aggregate(to_first, rasp.tokens).named("first")
    last = rasp.Aggregate(to_first, reverse).named("last")
    return rasp.SequenceMap(lambda x, y: (x + y) / 2, first, last)


def combine_with_next(f: BinaryFunction) -> rasp.SOp:
    """A function of each number and the next; the last number serves as its own next."""
    following = gather(lambda i, n: min(i + 1, n - 1), count_positions()).named("following")
    return rasp.SequenceMap(f, rasp.tokens, following)


def sum_of_last_two() -> rasp.SOp:
    """The sum of the last two numbers."""
    length = rasp.make_length()
    return element_from_end(1, length) + element_from_end(2, length)


def sum_with_previous() -> rasp.SOp:
    """The sum of each number and the one before it."""
    before = rasp.shift_by(1, rasp.tokens)
    # Positions change nothing here; InterpBench's program reads them, and so its circuit does.
    carried = rasp.SequenceMap(lambda x, i: x, before, rasp.indices).named("carried")
    return carried + rasp.tokens


def polynomial() -> rasp.SOp:
    """The value of a * x**2 + b * x + c for the input x a b c."""

    def element(place: rasp.SOp) -> rasp.SOp:
        return rasp.Aggregate(rasp.Select(rasp.indices, place, rasp.Comparison.EQ), rasp.tokens)

    def times_power(power: int) -> BinaryFunction:
        return lambda weight, x: weight * x**power

    zero = _constant(0)
    x, value = element(zero).named("x"), zero
    for i, power in ((1, 2), (2, 1), (3, 0)):
        weight = element(_constant(i)).named(f"weight_{i}")
        value = value + rasp.SequenceMap(times_power(power), weight, x).named(f"term_{i}")
    return value


def divide_by_ratio_of_first_two() -> rasp.SOp:
    """Each number over the ratio of the second to the first, where neither of these is zero."""
    place = rasp.Map(lambda n: min(n - 1, 1), count_positions()).named("second_place")
    second = rasp.Aggregate(rasp.Select(rasp.indices, place, rasp.Comparison.EQ), rasp.tokens)
    ratio = rasp.SequenceMap(lambda x, y: y / x if x and y else 1, element_at(0), second)
    return rasp.tokens / ratio.named("ratio")


def clip_into_range(low: int, high: int) -> rasp.SOp:
    """Each number, or the end of the range beyond which it lies."""
    capped = rasp.SequenceMap(min, _constant(high), rasp.tokens).named("capped")
    return rasp.SequenceMap(max, _constant(low), capped)


def _constant(value: int) -> rasp.SOp:
    # A function of the tokens, not of the positions, since InterpBench's circuits read tokens.
    return rasp.Map(lambda token: value, rasp.tokens).named(f"constant_{value}")


CASES = (
    Case(
        name="sum_last_two_digits",
        family="arithmetic",
        description="The sum of the last two digits of each number.",
        program=sum_last_two_digits(),
        vocab=tuple(range(29)),
        max_len=9,
        causal=True,
        interpbench_id=40,
    ),
    Case(
        name="double_first_half",
        family="arithmetic",
        description="Twice each number in the first half, the numbers themselves in the second.",
        program=double_first_half(),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=45,
    ),
    Case(
        name="add_index",
        family="arithmetic",
        description="Each number plus its position.",
        program=rasp.tokens + rasp.indices,
        vocab=NUMBERS,
        max_len=9,
        causal=True,
        interpbench_id=48,
    ),
    Case(
        name="times_length",
        family="arithmetic",
        description="Each number times how many there are.",
        program=rasp.tokens * rasp.make_length(),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=67,
    ),
    Case(
        name="divide_by_length",
        family="arithmetic",
        description="Each number divided by how many there are.",
        program=rasp.tokens / rasp.make_length(),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=71,
    ),
    Case(
        name="halve_second_half",
        family="arithmetic",
        description="The numbers themselves in the first half, half of each in the second.",
        program=halve_second_half(),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=82,
    ),
    Case(
        name="mean_of_first_and_last",
        family="arithmetic",
        description="The mean of the first and the last number.",
        program=mean_of_first_and_last(),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=88,
    ),
    Case(
        name="sum_with_next",
        family="arithmetic",
        description="Each number plus the next, the last one twice.",
        program=combine_with_next(lambda x, y: x + y),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=99,
    ),
    Case(
        name="difference_to_next",
        family="arithmetic",
        description="The next number less each one, zero at the end.",
        program=combine_with_next(lambda x, y: y - x),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=112,
    ),
    Case(
        name="product_with_next",
        family="arithmetic",
        description="Each number times the next, the square of the last one.",
        program=combine_with_next(lambda x, y: x * y),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=115,
    ),
    Case(
        name="sum_of_last_two",
        family="arithmetic",
        description="The sum of the last two numbers.",
        program=sum_of_last_two(),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=117,
    ),
    Case(
        name="sum_with_previous",
        family="arithmetic",
        description="Each number plus the one before it, nothing at the start.",
        program=sum_with_previous(),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=118,
    ),
    Case(
        name="polynomial",
        family="arithmetic",
        description="Of the input x a b c the value of a times x squared plus b times x plus c.",
        program=polynomial(),
        vocab=tuple(range(6)),
        max_len=4,
        interpbench_id=119,
    ),
    Case(
        name="divide_by_ratio_of_first_two",
        family="arithmetic",
        description="Each number divided by the ratio of the second to the first, unless it is 0.",
        program=divide_by_ratio_of_first_two(),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=127,
    ),
    Case(
        name="clip_into_range",
        family="arithmetic",
        description="Each number, or 2 where it is less and 7 where it is greater.",
        program=clip_into_range(2, 7),
        vocab=tuple(range(-15, 15)),
        max_len=9,
        causal=True,
        interpbench_id=130,
    ),
)
