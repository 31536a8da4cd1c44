"""Why this module exists: a training step, from rollouts to the state after, as one program.

Forward, the clipped token losses' gradient, backward, gradients of micro-batches added up, clipping, AdamW: sections 3,
8 and 10 of docs/exact-1.md and the graph of the policy loss. The loss itself is no part of a state and not computed.

Shapes: R rows, C kept columns, V tokens, N completion tokens of a micro-batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from verde.numerics.adamw import BETA1, BETA2, EPSILON, NORM_FLOOR
from verde.numerics.reduce import NORM_PIECE
from verde.program.builder import Builder, bits_of
from verde.program.derive_model import Gradients, Inputs, Model, Weights, parameters, state_weights
from verde.program.kinds import Kind, Type
from verde.program.program import Program
from verde.program.shape import Architecture, LearnRates, PassShape, StepShape, not_built
from verde.program.view import View


def step_program(arch: Architecture, shape: StepShape, rates: LearnRates) -> Program:
    """The program whose results are all tensors of the state after.

    The old policy is that of the weights before, so the first update's ratio is that of equal numbers. Raises
    ``NotBuiltYet`` for rules with a KL term, whose reference weights are no part of a state.
    """
    if rates.kl != 0:
        raise not_built("a step with a KL term")
    b = Builder()
    b.num_updates = len(shape)
    names = parameters(arch)
    weights = state_weights(b, arch)
    first = {name: b.state(f"first/{name}", *sizes) for name, sizes in names.items()}
    second = {name: b.state(f"second/{name}", *sizes) for name, sizes in names.items()}
    passes = [[Pass(b, f"{u}/{m}/", one) for m, one in enumerate(update)] for u, update in enumerate(shape)]
    old = [[one.forward(arch, weights, rates)[1] if u else None for one in part] for u, part in enumerate(passes)]
    for u, part in enumerate(passes):
        gradients: Gradients = {name: b.zeros(*sizes) for name, sizes in names.items()}
        for m, one in enumerate(part):
            found = one.gradients(arch, weights, rates, old[u][m])
            gradients = found if m == 0 else {name: b.add(gradients[name], found[name]) for name in names}
        update_weights(b, weights, first, second, gradients, rates, u + 1)
    for part_name, tensors in (("weight", weights), ("first", first), ("second", second)):
        for name, tensor in tensors.items():
            b.result(f"tensor/{part_name}/{name}", tensor)
    return b.program()


@dataclass(frozen=True)
class Pass:
    """A micro-batch whose data are named with ``prefix``."""

    b: Builder
    prefix: str
    shape: PassShape

    def _index(self, name: str) -> View:
        return self.b.data(f"{self.prefix}{name}", Type.I32, self.shape.tokens)

    def forward(self, arch: Architecture, weights: Weights, rates: LearnRates) -> tuple[Model, View, View, View]:
        """(the pass, log-probabilities [N], logits by temperature [R, C, V], logsumexp [R, C])."""
        b, shape = self.b, self.shape
        inputs = Inputs.of_data(b, self.prefix, shape.rows, shape.columns)
        model = Model(b, arch, weights, inputs, shape.kept)
        z = model.logits_RCV
        if rates.temperature != 1:
            z = b.div(z, b.constant(rates.temperature))
        largest = b.add_node(Kind.MAX, z.sizes[:-1], [z], length=z.sizes[-1])
        lse = b.add(largest, b.map(Kind.LOG, b.total(b.map(Kind.EXP, b.sub(z, largest.insert(-1))))))
        row, source, token = (self._index(name) for name in ("row", "source", "token"))
        at = (shape.tokens,)
        nowhere = (0,)
        places = [row, source, token]
        chosen = b.add_node(Kind.GATHER, at, [View(z.node, z.type, at, nowhere), *places], z.strides)
        normaliser = b.add_node(Kind.GATHER, at, [View(lse.node, lse.type, at, nowhere), *places[:2]], lse.strides)
        return model, b.sub(chosen, normaliser), z, lse

    def gradients(self, arch: Architecture, weights: Weights, rates: LearnRates, old: View | None) -> Gradients:
        """Gradients of all weights."""
        b, shape = self.b, self.shape
        model, new, z, lse = self.forward(arch, weights, rates)
        g = self._of_log_probs(new, new if old is None else old, rates)
        row, source, token = (self._index(name) for name in ("row", "source", "token"))
        of_lse = b.total_where(b.map(Kind.NEG, g), (shape.rows, shape.kept), row, source)
        of_chosen = b.total_where(g, z.sizes, row, source, token)
        dz = b.add(of_chosen, b.mul(of_lse.insert(-1), b.map(Kind.EXP, b.sub(z, lse.insert(-1)))))
        if rates.temperature != 1:
            dz = b.div(dz, b.constant(rates.temperature))
        return model.backward(dz)

    def _of_log_probs(self, new: View, old: View, rates: LearnRates) -> View:
        """[N]: gradient of the update's loss for each token's log-probability."""
        b, zero = self.b, self.b.constant(0.0)
        advantage, weight = (self._per_token(name) for name in ("advantage", "weight"))
        ratio = b.map(Kind.EXP, b.sub(new, old))
        low, high = b.constant(rates.low), b.constant(rates.high)
        clipped = b.map(Kind.MINIMUM, b.map(Kind.MAXIMUM, ratio, low), high)
        bounded = ratio if rates.most is None else b.map(Kind.MINIMUM, ratio, b.constant(rates.most))
        one, other = b.mul(bounded, advantage), b.mul(clipped, advantage)
        g = b.map(Kind.NEG, weight)
        halved = b.select(b.map(Kind.EQ, one, other), b.div(g, b.constant(2.0)), g)
        of_one = b.mul(b.select(b.map(Kind.LT, other, one), zero, halved), advantage)
        of_other = b.mul(b.select(b.map(Kind.LT, one, other), zero, halved), advantage)
        if rates.most is not None:
            of_one = b.select(b.map(Kind.LE, ratio, b.constant(rates.most)), of_one, zero)
        of_other = b.select(b.map(Kind.LE, low, ratio), b.select(b.map(Kind.LE, ratio, high), of_other, zero), zero)
        return b.mul(b.add(of_one, of_other), ratio)

    def _per_token(self, name: str) -> View:
        values = self.b.data(f"{self.prefix}{name}", Type.F32, self.shape.samples)
        at = (self.shape.tokens,)
        table = View(values.node, values.type, at, (0,))
        return self.b.add_node(Kind.GATHER, at, [table, self._index("sample")], [1])


def update_weights(
    b: Builder, weights: Weights, first: Weights, second: Weights, gradients: Gradients, rates: LearnRates, number: int
) -> None:
    """Section 8, in place of the three dictionaries; ``number`` counts the step's updates from 1."""
    one, step = b.constant(1.0), b.step()
    clip = _clip(b, gradients, rates.max_norm)
    beta1, beta2 = b.constant(BETA1), b.constant(BETA2)
    c1, c2 = (
        b.sub(one, b.add_node(Kind.POWER, (1,), [step], [bits_of(float(beta)), number])) for beta in (BETA1, BETA2)
    )
    rest1, rest2, root = b.sub(one, beta1), b.sub(one, beta2), b.map(Kind.SQRT, c2)
    learning_rate = b.constant(rates.learning_rate)
    decay = b.sub(one, b.mul(learning_rate, b.constant(rates.weight_decay)))
    rate = b.div(learning_rate, c1)
    for name, raw in gradients.items():
        g = b.mul(raw, clip) if clip is not None else raw
        m = first[name] = b.add(b.mul(beta1, first[name]), b.mul(rest1, g))
        v = second[name] = b.add(b.mul(beta2, second[name]), b.mul(rest2, b.mul(g, g)))
        d = b.add(b.div(b.map(Kind.SQRT, v), root), b.constant(EPSILON))
        weights[name] = b.sub(b.mul(weights[name], decay), b.mul(rate, b.div(m, d)))


def _clip(b: Builder, gradients: Gradients, max_norm: np.float32) -> View | None:
    """What all gradients are multiplied with, [1]; None where nothing is clipped."""
    if max_norm == 0:
        return None
    pieces: View | None = None
    for g in gradients.values():
        squares = b.mul(g, g)
        flat = b.flat(squares, squares.num_elements)
        whole, rest = divmod(flat.num_elements, NORM_PIECE)
        parts = [flat.narrow(0, 0, whole * NORM_PIECE).split(0, whole)] if whole else []
        if rest:
            parts.append(flat.narrow(0, whole * NORM_PIECE, rest).insert(0))
        for part in parts:
            total = b.total(part)
            pieces = total if pieces is None else _joined(b, pieces, total)
    assert pieces is not None
    norm = b.map(Kind.SQRT, b.total(pieces.insert(0)))
    return b.map(Kind.MINIMUM, b.constant(1.0), b.div(b.constant(max_norm), b.add(norm, b.constant(NORM_FLOOR))))


def _joined(b: Builder, one: View, other: View) -> View:
    size = one.num_elements
    ends = [View(x.node, x.type, (size + other.num_elements,), (1,)) for x in (one, other)]
    return b.add_node(Kind.CONCAT, ends[0].sizes, ends, [size])
