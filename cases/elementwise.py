"""Functions of each token alone: circuits of a single MLP, told apart by the function."""

from __future__ import annotations

import math
from dataclasses import dataclass

from knowncircuits import rasp
from knowncircuits.cases.alphabets import NUMBERS, WORDS, words_and
from knowncircuits.cases.case import Case
from knowncircuits.rasp.expressions import UnaryFunction
from knowncircuits.rasp.values import Value

THIRTY = tuple(range(30))
AROUND_ZERO = tuple(range(-10, 10))
UNIT_INTERVAL = tuple(i / 10 - 1 for i in range(20))
QUARTERS = tuple(i / 4 for i in range(20))
RANDOM_WORDS = """
    ADUdRPP CHChpo DaUUq GFfWd GprQ JaRUhR JkqHMBn LoaeT MOkI MbJmTPSI MeyyMDH MuFb SBvrj TecQo
    UDIh WUSmTtzQ WlGgOtOG WrXPvhsB Wvgfy YEZAm bVrp dzUv eWIXiiQ fJsONxK fLBcbfno fogyrD gQBw iVgRV
    jOkY kDyrO kxwnQr mjxWkIXH nIiUKKE nPFzPD oCLrZaW oRuXXdoc oecv pKff pmmI qVLBLzxo qipVJ vbLJ
    wwMq xZtp zrenKT
"""


def prime_factors(x: int) -> list[int]:
    """The distinct primes that divide a positive number."""
    return [p for p in range(2, x + 1) if x % p == 0 and all(p % q for q in range(2, p))]


def is_prime(x: int) -> bool:
    """Whether a number is prime."""
    return prime_factors(x) == [x]


def next_prime(x: int) -> int:
    """The least prime that is at least x."""
    return x if is_prime(x) else next_prime(x + 1)


def fibonacci(n: int) -> int:
    """The n-th Fibonacci number, from 0 and 1."""
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def is_fibonacci(x: int) -> bool:
    """Whether a number is a Fibonacci number."""
    return x in {fibonacci(n) for n in range(x + 2)}


def vowels_per_consonant(word: str) -> float:
    """How many vowels a word has for each consonant."""
    vowels = sum(letter in "aeiou" for letter in word.lower())
    return vowels / (len(word) - vowels)


def alternate_capitals(word: str) -> str:
    """Capitals at even places, small letters at odd ones."""
    return "".join(c.lower() if i % 2 else c.upper() for i, c in enumerate(word))


def reflect(x: int, low: int, high: int) -> int:
    """A number thrown back at both ends of a range until it lies within."""
    there_and_back = 2 * (high - low)
    distance = (x - low) % there_and_back
    return low + min(distance, there_and_back - distance)


def wrap(x: int, low: int, high: int) -> int:
    """A number wrapped around a range, both ends of which belong to it."""
    return low + (x - low) % (high - low + 1)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    interpbench_id: int
    name: str
    f: UnaryFunction
    vocab: tuple[Value, ...]
    description: str

    def case(self) -> Case:
        """The case: the function mapped over the tokens."""
        return Case(
            name=self.name,
            family="elementwise",
            description=self.description,
            program=rasp.Map(self.f, rasp.tokens).named(self.name),
            vocab=self.vocab,
            max_len=9,
            causal=True,
            interpbench_id=self.interpbench_id,
        )


# fmt: off
TABLE = (
    # Arithmetic
    Row(8, "identity", lambda x: x, NUMBERS, "Each number as it is."),
    Row(60, "increment", lambda x: x + 1, NUMBERS, "One more."),
    Row(46, "decrement", lambda x: x - 1, NUMBERS, "One less."),
    Row(80, "subtract_constant", lambda x: x - 2, NUMBERS, "Two less."),
    Row(75, "double", lambda x: 2 * x, NUMBERS, "Twice the number."),
    Row(83, "triple", lambda x: 3 * x, NUMBERS, "Three times the number."),
    Row(85, "square", lambda x: x**2, NUMBERS, "The square."),
    Row(64, "cube", lambda x: x**3, NUMBERS, "The cube."),
    Row(52, "square_root", math.sqrt, NUMBERS, "The square root."),
    Row(65, "cube_root", math.cbrt, NUMBERS, "The cube root."),
    Row(62, "factorial", math.factorial, NUMBERS, "The factorial."),
    Row(43, "fibonacci_of", fibonacci, tuple(range(20)), "The Fibonacci number of this index."),
    Row(72, "negate", lambda x: -x, AROUND_ZERO, "The number with its sign changed."),
    Row(41, "absolute", abs, AROUND_ZERO, "The absolute value."),
    Row(69, "sign", lambda x: (x > 0) - (x < 0), NUMBERS, "The sign: 1, 0 or -1."),
    # Analysis
    Row(104, "exponential", math.exp, NUMBERS, "e to the number."),
    Row(114, "log10", math.log10, tuple(range(1, 11)), "The decimal logarithm."),
    Row(73, "sine", math.sin, NUMBERS, "The sine."),
    Row(70, "cosine", math.cos, NUMBERS, "The cosine."),
    Row(77, "tangent", math.tan, NUMBERS, "The tangent."),
    Row(121, "arcsine", math.asin, UNIT_INTERVAL, "The arc sine."),
    Row(123, "arccosine", math.acos, UNIT_INTERVAL, "The arc cosine."),
    Row(84, "arctangent", math.atan, NUMBERS, "The arc tangent."),
    Row(55, "sinh", math.sinh, NUMBERS, "The hyperbolic sine."),
    Row(50, "cosh", math.cosh, NUMBERS, "The hyperbolic cosine."),
    Row(54, "tanh", math.tanh, NUMBERS, "The hyperbolic tangent."),
    # Rounding and ranges
    Row(66, "round", lambda x: math.floor(x + 0.5), QUARTERS,
        "The nearest whole number, halves up."),
    Row(49, "round_down_to_multiple_of_three", lambda x: x // 3 * 3, NUMBERS,
        "The greatest multiple of three that is not greater."),
    Row(68, "round_up_to_multiple_of_three", lambda x: -(-x // 3) * 3, NUMBERS,
        "The least multiple of three that is not less."),
    Row(87, "binarise", lambda x: int(x >= 3), NUMBERS, "1 from three on, 0 below."),
    Row(91, "zero_below_threshold", lambda x: x if x >= 3 else 0, NUMBERS,
        "The number from three on, 0 below."),
    Row(102, "reflect_into_range", lambda x: reflect(x, 2, 7), tuple(range(-20, 20)),
        "The number reflected at 2 and 7 until it lies between them."),
    Row(107, "wrap_into_range", lambda x: wrap(x, 2, 6), tuple(range(-15, 15)),
        "The number wrapped around the range from 2 to 6."),
    Row(30, "number_in_range", lambda x: 10 <= int(x) <= 20, tuple(sorted(map(str, THIRTY))),
        "Whether a number, written in digits, lies from 10 to 20."),
    # Number theory
    Row(79, "is_prime", lambda x: int(is_prime(x)), NUMBERS, "1 for primes, 0 for others."),
    Row(105, "next_prime", next_prime, THIRTY, "The least prime that is not less."),
    Row(95, "count_prime_factors", lambda x: len(prime_factors(x)), THIRTY,
        "How many different primes divide the number; none for 0."),
    Row(122, "divisible_by_three", lambda x: int(x % 3 == 0), THIRTY,
        "1 for multiples of three, 0 for others."),
    Row(101, "is_square", lambda x: int(math.isqrt(x) ** 2 == x), THIRTY,
        "1 for square numbers, 0 for others."),
    Row(86, "is_power_of_two", lambda x: int(x in (2, 4, 8)), NUMBERS,
        "1 for the powers of two from 2 on, 0 for others."),
    Row(51, "is_fibonacci", lambda x: int(is_fibonacci(x)), tuple(range(100)),
        "1 for Fibonacci numbers, 0 for others."),
    # Words
    Row(28, "mirror_word", lambda word: word[::-1], tuple(RANDOM_WORDS.split()),
        "Each word spelt backwards."),
    Row(37, "reverse_words_with_exceptions", lambda word: word[::-1], WORDS,
        "Each word spelt backwards; the alphabet has none of the exceptions."),
    Row(23, "palindrome_words", lambda word: word if word == word[::-1] else None,
        words_and("noon", "racecar"), "Each palindrome, and nothing for other words."),
    Row(29, "abbreviate_word", lambda word: word[:3], WORDS, "The first three letters."),
    Row(35, "alternate_capitals", alternate_capitals, WORDS,
        "Each word with capitals and small letters in turn."),
    Row(33, "word_length_parity", lambda word: len(word) % 2 == 0, WORDS,
        "Whether the word has an even number of letters."),
    Row(34, "vowel_consonant_ratio", vowels_per_consonant, WORDS, "Vowels for each consonant."),
    Row(31, "anagram_of_listen", lambda word: sorted(word) == sorted("listen"),
        words_and("listen"), "Whether the word is an anagram of listen."),
    Row(20, "is_spam_word",
        lambda word: "spam" if word in ("click", "now", "offer") else "not spam",
        words_and("click", "now", "offer", "spam"),
        "Whether the word is one of three that spam uses; the word spam is not."),
    Row(90, "replace_token", lambda word: "-" if word == "findme" else word,
        words_and("-", "findme"), "Each word, with findme replaced by a dash."),
    Row(36, "emoji_sentiment", {"📘": "neutral", "😊": "positive", "😢": "negative"}.__getitem__,
        ("📘", "😊", "😢"), "Whether an emoji is positive, negative or neutral."),
)
# fmt: on

CASES = tuple(row.case() for row in TABLE)
