"""Why this module exists: whether a rollout was drawn as it should have been is one prefill and one draw per token."""

from __future__ import annotations

from verde.program.builder import Builder
from verde.program.derive_model import Inputs, Model, state_weights
from verde.program.kinds import Kind, Type
from verde.program.program import Program
from verde.program.shape import Architecture, DrawShape
from verde.program.view import View


def draw_program(arch: Architecture, shape: DrawShape, temperature: float) -> Program:
    """The program of ``shape``'s sampling check, without top-k. ``temperature`` 0 takes the largest logit.

    Its result ``tokens`` is what the state before gives; a rollout is right where its tokens are these.
    """
    b = Builder()
    inputs = Inputs.of_data(b, "", shape.rows, shape.prompt + shape.draws - 1)
    logits = Model(b, arch, state_weights(b, arch), inputs, shape.draws).logits_RCV
    if temperature not in (0.0, 1.0):
        logits = b.div(logits, b.decimal(temperature))
    if temperature != 0.0:
        logits = b.add(logits, _noise(b, shape, arch.num_tokens))
    b.result("tokens", b.add_node(Kind.ARGMAX, logits.sizes[:-1], [logits], length=arch.num_tokens))
    return b.program()


def _noise(b: Builder, shape: DrawShape, num_tokens: int) -> View:
    """[rows, draws, tokens]."""
    seed = b.data("seed", Type.I32, shape.rows, 2)
    low, high = (seed.narrow(1, word, 1).insert(-1) for word in (0, 1))
    position = b.add_node(Kind.CONST, (shape.draws,), (), range(shape.draws), type=Type.I32).insert(-1)
    return b.add_node(Kind.GUMBEL, (shape.rows, shape.draws, num_tokens), [low, high, position])
