"""Random words, their noise, and running powers: the EVM and the oracle give the same bits."""

from __future__ import annotations

import random

import pytest

from tests.verde.referee.evm import Evm, Leaf, packed
from tests.verde.referee.hostile import bits_of, expected, mismatches, number, value
from verde.numerics.oracle.elementwise import mul
from verde.numerics.oracle.optimiser import B1, B2
from verde.numerics.oracle.rounding import NotANumber
from verde.numerics.oracle.sampling import philox, word
from verde.numerics.oracle.transcendental import gumbel
from verde.program.kinds import Kind


def test_noise_of_tokens(evm: Evm, rng: random.Random, num_cases: int) -> None:
    seeds = [0, 1, 2**64 - 1, 2**32, 2**32 - 1]
    leaves, wanted = [], []
    for _ in range(num_cases):
        seed = rng.choice([rng.choice(seeds), *[rng.getrandbits(64)] * 4])
        position = rng.choice([0, 2**31 - 1, rng.randrange(4096), rng.randrange(4096)])
        token = rng.choice([0, 1, 2, 3, 151_935, 2**31 - 1, rng.randrange(151_936), rng.randrange(151_936)])
        inputs = packed([seed % 2**32]), packed([seed >> 32]), packed([position])
        leaves.append(Leaf(Kind.GUMBEL, inputs, sizes=(2, 2**31), element=2**31 + token))
        wanted.append(bits_of(gumbel(word(seed, position, token))))
    assert mismatches(leaves, evm.evaluate(leaves), wanted) == []


@pytest.mark.integration
def test_noise_of_the_rarest_words(evm: Evm) -> None:
    """Words near 0, near 2^32 and where the logarithm splits are drawn too seldom to meet by chance."""
    found: dict[str, tuple[int, int]] = {}
    for position in range(40):
        for block in range(200):
            for lane, r in enumerate(philox((7, 0), (block, position, 0, 0))):
                for name, distance in {
                    "lowest": r,
                    "highest": 2**32 - 1 - r,
                    "split": abs(r - 0xB504F333),
                    "half": abs(r - 2**31),
                }.items():
                    if name not in found or distance < found[name][0]:
                        found[name] = distance, position << 32 | 4 * block + lane
    cases = [divmod(place, 2**32) for _, place in found.values()]
    leaves = [
        Leaf(Kind.GUMBEL, (packed([7]), packed([0]), packed([position])), sizes=(1024,), element=token)
        for position, token in cases
    ]
    assert evm.evaluate(leaves) == [bits_of(gumbel(word(7, position, token))) for position, token in cases]
    assert max(distance for distance, _ in found.values()) < 2**20


def test_running_powers(evm: Evm, rng: random.Random, num_cases: int) -> None:
    def power(base: int, t: int, more: int) -> float:
        product = 1.0
        for _ in range(t + more):
            product = mul(product, value(base))
        return product

    cases = []
    for _ in range(num_cases):
        base = rng.choice([bits_of(B1), bits_of(B2), bits_of(B2), rng.randint(0x3F000000, 0x3F800000), number(rng)])
        t = rng.randint(0, 1000 if rng.random() < 0.05 else 20)
        cases.append((base, t, rng.choice([0, 1])))
    wanted = []
    for case in cases:
        try:
            wanted.append(bits_of(power(*case)))
        except NotANumber:
            wanted.append("none")
    leaves = [Leaf(Kind.POWER, (packed([t]),), (base, more)) for base, t, more in cases]
    assert mismatches(cases, evm.evaluate(leaves), wanted) == []


@pytest.mark.integration
def test_running_powers_of_long_runs(evm: Evm) -> None:
    """Down to the least normal number and to 0."""
    product, leaves, wanted = 1.0, [], []
    for t in range(900):
        product = mul(product, B1)
        leaves.append(Leaf(Kind.POWER, (packed([t]),), (bits_of(B1), 1)))
        wanted.append(bits_of(product))
    assert wanted[-1] == 0
    assert evm.evaluate(leaves[780:]) == wanted[780:]
    assert expected(mul, bits_of(B1), 0x00800000) == 0
