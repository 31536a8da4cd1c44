"""Operators of the arithmetic that are several kinds: made of leaves, they are the oracle's."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tests.verde.referee.evm import Evm, Leaf, packed
from tests.verde.referee.hostile import bits_of, ordinary, value
from verde.numerics.constants import SQRT_2_OVER_PI
from verde.numerics.oracle import elementwise as oracle
from verde.numerics.oracle.attention import attend
from verde.numerics.oracle.optimiser import B1, B2, EPS, Moments, adamw
from verde.numerics.oracle.rotary import rotate
from verde.numerics.oracle.rounding import rne
from verde.numerics.oracle.sampling import sample
from verde.numerics.oracle.softmax import log_softmax, softmax
from verde.program.kinds import Kind, Type

Column = list[int]


class Machine:
    """Columns of numbers through the evaluator, one kind at a time; a number stands for a column of it."""

    def __init__(self, evm: Evm, size: int) -> None:
        self.evm, self.size = evm, size

    def __call__(self, kind: Kind, *columns: Sequence[int] | float) -> Column:
        full = [[bits_of(one)] * self.size if isinstance(one, float) else one for one in columns]
        return [int(answer) for answer in self.evm.apply(kind, *full)]


def between(rng: random.Random, low: int, high: int, count: int) -> Column:
    return [ordinary(rng, low, high) for _ in range(count)]


def patterns(xs: Sequence[float]) -> Column:
    return [bits_of(x) for x in xs]


def reduced(evm: Evm, kind: Kind, row: Column, *others: bytes, attributes: tuple[int, ...] = ()) -> int:
    (answer,) = evm.evaluate([Leaf(kind, (packed(row), *others), attributes, length=len(row))])
    return int(answer)


def summed(evm: Evm, row: Column) -> int:
    e = reduced(evm, Kind.EXPONENT, row, attributes=(0,))
    return reduced(evm, Kind.SUM, row, packed([e]))


def test_adamw(evm: Evm, rng: random.Random, num_cases: int) -> None:
    n = num_cases // 5
    do = Machine(evm, n)
    p, g, m = (between(rng, 100, 127, n) for _ in range(3))
    v = [one & 0x7FFFFFFF for one in between(rng, 60, 120, n)]
    steps = [rng.randint(0, 500) for _ in range(n)]
    lr, decay = rne(1e-3), rne(0.01)
    power1, power2 = (
        [int(one) for one in evm.evaluate(Leaf(Kind.POWER, (packed([t]),), (bits_of(base), 1)) for t in steps)]
        for base in (B1, B2)
    )
    c1, c2 = do(Kind.SUB, 1.0, power1), do(Kind.SUB, 1.0, power2)
    m_new = do(Kind.ADD, do(Kind.MUL, B1, m), do(Kind.MUL, do(Kind.SUB, 1.0, B1), g))
    v_new = do(Kind.ADD, do(Kind.MUL, B2, v), do(Kind.MUL, do(Kind.SUB, 1.0, B2), do(Kind.MUL, g, g)))
    d = do(Kind.ADD, do(Kind.DIV, do(Kind.SQRT, v_new), do(Kind.SQRT, c2)), EPS)
    move = do(Kind.MUL, do(Kind.DIV, lr, c1), do(Kind.DIV, m_new, d))
    kept = do(Kind.MUL, p, do(Kind.SUB, 1.0, do(Kind.MUL, lr, decay)))
    p_new = do(Kind.SUB, kept, move)
    for i in range(n):
        powers = [1.0, 1.0]
        for _ in range(steps[i]):
            powers = [oracle.mul(powers[0], B1), oracle.mul(powers[1], B2)]
        wanted, after = adamw(value(p[i]), value(g[i]), Moments(value(m[i]), value(v[i]), *powers), lr, decay)
        assert [p_new[i], m_new[i], v_new[i]] == patterns([wanted, after.m, after.v])


def test_activations(evm: Evm, rng: random.Random, num_cases: int) -> None:
    n = num_cases // 2
    do = Machine(evm, n)
    x = between(rng, 110, 132, n)
    assert do(Kind.MUL, x, do(Kind.SIGMOID, x)) == patterns([oracle.silu(value(one)) for one in x])
    cube = do(Kind.MUL, do(Kind.MUL, x, x), x)
    u = do(Kind.MUL, SQRT_2_OVER_PI, do(Kind.ADD, x, do(Kind.MUL, oracle.GELU_K, cube)))
    gelu = do(Kind.MUL, do(Kind.MUL, 0.5, x), do(Kind.ADD, 1.0, do(Kind.TANH, u)))
    assert gelu == patterns([oracle.gelu_tanh(value(one)) for one in x])


def test_softmax_and_its_logarithm(evm: Evm, rng: random.Random, num_cases: int) -> None:
    for _ in range(num_cases // 50):
        n = rng.randint(2, 40)
        do = Machine(evm, n)
        x = between(rng, 120, 132, n)
        m = value(reduced(evm, Kind.MAX, x))
        shifted = do(Kind.SUB, x, m)
        e = do(Kind.EXP, shifted)
        s = summed(evm, e)
        xs = [value(one) for one in x]
        assert do(Kind.DIV, e, value(s)) == patterns(softmax(xs))
        log = value(int(evm.apply(Kind.LOG, [s])[0]))
        assert do(Kind.SUB, shifted, log) == patterns(log_softmax(xs))


def test_rotary_embedding(evm: Evm, rng: random.Random, num_cases: int) -> None:
    for _ in range(num_cases // 50):
        half = rng.choice([1, 8, 32])
        do = Machine(evm, half)
        position = rng.randrange(100_000)
        frequencies = [rne(one) for one in (rng.random() for _ in range(half))]
        x, y = between(rng, 120, 130, half), between(rng, 120, 130, half)
        angles = do(Kind.MUL, do(Kind.TO_FLOAT, [position] * half), patterns(frequencies))
        c, s = do(Kind.COS, angles), do(Kind.SIN, angles)
        first = do(Kind.ADD, do(Kind.MUL, x, c), do(Kind.MUL, do(Kind.NEG, y), s))
        second = do(Kind.ADD, do(Kind.MUL, y, c), do(Kind.MUL, x, s))
        assert first + second == patterns(rotate([value(one) for one in x + y], position, frequencies))


def test_sampling_of_a_token(evm: Evm, rng: random.Random, num_cases: int) -> None:
    for _ in range(num_cases // 50):
        n = rng.randint(2, 40)
        do = Machine(evm, n)
        logits = [rng.choice(between(rng, 125, 129, 3)) for _ in range(n)]
        seed, position, temperature = rng.getrandbits(64), rng.randrange(1000), rne(rng.choice([0.5, 0.7, 1.3]))
        keys = packed([seed % 2**32]), packed([seed >> 32]), packed([position])
        noise = evm.evaluate(Leaf(Kind.GUMBEL, keys, sizes=(n,), element=token) for token in range(n))
        perturbed = do(Kind.ADD, do(Kind.DIV, logits, temperature), [int(one) for one in noise])
        wanted = sample([value(one) for one in logits], seed, position, temperature)
        assert reduced(evm, Kind.ARGMAX, perturbed) == wanted


def test_attention_of_one_query(evm: Evm, rng: random.Random, num_cases: int) -> None:
    """Values carry an exponent per token, which moves into the weights before they are quantised."""
    for _ in range(num_cases // 50):
        width, count = rng.choice([2, 8, 17]), rng.randint(1, 12)
        q = between(rng, 124, 128, width)
        keys = [between(rng, 124, 128, width) for _ in range(count)]
        values = [between(rng, 100 + 3 * j, 104 + 3 * j, width) for j in range(count)]
        scale = rne(width**-0.5)
        do = Machine(evm, count)
        scores = do(Kind.MUL, [dotted(evm, q, key) for key in keys], scale)
        e = do(Kind.EXP, do(Kind.SUB, scores, value(reduced(evm, Kind.MAX, scores))))
        w = do(Kind.DIV, e, value(summed(evm, e)))
        tokens = [quantised(evm, one) for one in values]
        scales = packed([own for _, own in tokens])
        common = reduced(evm, Kind.EXPONENT, w, scales, attributes=(1,))
        uq = evm.evaluate(
            Leaf(Kind.QUANTISE, (packed([one]), packed([common]), packed([own])), type=Type.I16)
            for one, (_, own) in zip(w, tokens, strict=True)
        )
        result = evm.evaluate(
            Leaf(
                Kind.DOT,
                (packed(map(int, uq), 2), packed([common]), packed([vq[d] for vq, _ in tokens], 2)),
                length=count,
            )
            for d in range(width)
        )
        numbers = [[[value(x) for x in row] for row in rows] for rows in ([q], keys, values)]
        assert result == patterns(attend(numbers[0][0], numbers[1], numbers[2], [True] * count, scale))


def quantised(evm: Evm, row: Column) -> tuple[Column, int]:
    e = reduced(evm, Kind.EXPONENT, row, attributes=(1,))
    q = evm.evaluate(Leaf(Kind.QUANTISE, (packed([x]), packed([e])), type=Type.I16) for x in row)
    return [int(one) for one in q], e


def dotted(evm: Evm, a: Column, b: Column) -> int:
    (qa, ea), (qb, eb) = quantised(evm, a), quantised(evm, b)
    inputs = packed(qa, 2), packed([ea]), packed(qb, 2), packed([eb])
    (answer,) = evm.evaluate([Leaf(Kind.DOT, inputs, length=len(a))])
    return int(answer)
