"""Why this module exists: layers of a Llama-type decoder in operators, forward and backward, as section 5 orders them.

Shapes: R rows, L columns, K features in, M out, H query heads, N key-value heads, G = H / N, D width of a head; i is a
query, j a key. Each layer keeps what its gradient reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from verde.program.builder import Builder
from verde.program.kinds import Kind
from verde.program.view import View


def rows_last(b: Builder, x: View) -> View:
    """[features, R·L] of a tensor [R, L, features]."""
    return b.flat(x, x.sizes[0] * x.sizes[1], x.sizes[2]).transpose()


@dataclass(frozen=True)
class Linear:
    """x · weight^T (+ bias) on [R, L, K]; ``weight`` [M, K]."""

    x: View
    weight: View
    has_bias: bool

    @classmethod
    def forward(cls, b: Builder, x: View, weight: View, bias: View | None = None) -> tuple[View, Linear]:
        y = b.contract(x.insert(-2), weight)
        return (y if bias is None else b.add(y, bias)), cls(x, weight, bias is not None)

    def backward(self, b: Builder, dy: View) -> tuple[View, View, View | None]:
        """(dx, dweight, dbias or None)."""
        dx = b.contract(dy.insert(-2), self.weight.transpose())
        dy_MR, x_KR = rows_last(b, dy), rows_last(b, self.x)
        dweight = b.contract(dy_MR.insert(1), x_KR)
        return dx, dweight, b.total(dy_MR) if self.has_bias else None


@dataclass(frozen=True)
class RmsNorm:
    """mul(w, mul(x, r)) over the last axis."""

    x: View
    weight: View
    root: View

    @classmethod
    def forward(cls, b: Builder, x: View, weight: View, eps: float) -> tuple[View, RmsNorm]:
        mean = b.div(b.total(b.mul(x, x)), b.constant(float(x.sizes[-1])))
        root = b.div(b.constant(1.0), b.map(Kind.SQRT, b.add(mean, b.decimal(eps)))).insert(-1)
        return b.mul(weight, b.mul(x, root)), cls(x, weight, root)

    def backward(self, b: Builder, g: View) -> tuple[View, View, View]:
        """(dx directly, dx through the root, dweight)."""
        x, root, features = self.x, self.root, self.x.sizes[-1]
        gw = b.mul(g, self.weight)
        total = b.total(b.mul(gw, x)).insert(-1)
        cube = b.mul(b.mul(root, root), root)
        c = b.div(b.mul(b.mul(b.constant(-0.5), total), cube), b.constant(float(features)))
        product = b.mul(g, b.mul(x, root))
        by_feature = b.flat(product, product.num_elements // features, features).transpose()
        return b.mul(gw, root), b.mul(c, b.mul(b.constant(2.0), x)), b.total(by_feature)


@dataclass(frozen=True)
class Rotary:
    """Heads [R, L, H, D] turned by their positions; ``cos`` and ``sin`` [R, L, 1, 1, D / 2]."""

    cos: View
    sin: View

    @classmethod
    def tables(cls, b: Builder, position_RL: View, frequencies: Sequence[float]) -> Rotary:
        angles = b.mul(b.map(Kind.TO_FLOAT, position_RL).insert(-1), b.constants(frequencies))
        cos, sin = b.map(Kind.COS, angles), b.map(Kind.SIN, angles)
        return cls(cos.insert(2).insert(2), sin.insert(2).insert(2))

    def forward(self, b: Builder, x: View) -> View:
        halves = x.split(-1, 2)
        turned = b.mul(b.mul(halves.reverse(3), self._signs(b, -1.0, 1.0)), self.sin)
        return b.flat(b.add(b.mul(halves, self.cos), turned), *x.sizes)

    def backward(self, b: Builder, g: View) -> View:
        halves = g.split(-1, 2)
        turned = b.mul(b.mul(halves.reverse(3), self.sin), self._signs(b, 1.0, -1.0))
        return b.flat(b.add(b.mul(halves, self.cos), turned), *g.sizes)

    def _signs(self, b: Builder, first: float, second: float) -> View:
        return b.constants([first, second]).insert(-1)


@dataclass(frozen=True)
class Attention:
    """Section 5's attention. ``q`` [R, N, G, i, D], ``k v`` [R, N, j, D], ``weights`` [R, N, G, i, j]."""

    q: View
    k: View
    v: View
    weights: View
    scale: float

    @classmethod
    def forward(
        cls, b: Builder, q_RLHD: View, k_RLND: View, v_RLND: View, mask_RLL: View, scale: float
    ) -> tuple[View, Attention]:
        """([R, L, H·D], what backward needs)."""
        num_kv_heads = k_RLND.sizes[2]
        q = q_RLHD.split(2, num_kv_heads).permute(0, 2, 3, 1, 4)
        k, v = k_RLND.permute(0, 2, 1, 3), v_RLND.permute(0, 2, 1, 3)
        scores = b.mul(b.contract(q.insert(-2), k.insert(2).insert(2)), b.decimal(scale))
        mask = mask_RLL.insert(1).insert(1)
        largest = b.add_node(Kind.MAX, scores.sizes[:-1], [scores, mask], length=scores.sizes[-1]).insert(-1)
        shifted = b.sub(b.select(mask, scores, largest), largest)
        powers = b.select(mask, b.map(Kind.EXP, shifted), b.constant(0.0))
        weights = b.div(powers, b.total(powers).insert(-1))
        return _heads_last(b, _weigh(b, weights, v)), cls(q, k, v, weights, scale)

    def backward(self, b: Builder, g_RLM: View) -> tuple[View, View, View]:
        """(dq [R, L, H, D], dk, dv [R, L, N, D])."""
        q, k, v, w = self.q, self.k, self.v, self.weights
        rows, kv_heads, grouped, length, width = q.sizes
        g = g_RLM.split(2, kv_heads).split(3, grouped).permute(0, 2, 3, 1, 4)
        dw = b.contract(g.insert(-2), v.insert(2).insert(2))
        t = b.total(b.mul(w, dw)).insert(-1)
        ds = b.mul(b.mul(w, b.sub(dw, t)), b.decimal(self.scale))
        dq = b.contract(ds.insert(-2), k.transpose().insert(2).insert(2))
        ds_T, w_T = (self._queries_last(b, x) for x in (ds, w))
        q_T, g_T = (self._queries_last(b, x) for x in (q, g))
        dk = b.contract(ds_T.insert(-2), q_T.insert(2))
        dv = b.contract(w_T.insert(-2), g_T.insert(2))
        dq_RLHD = b.flat(dq.permute(0, 3, 1, 2, 4), rows, length, kv_heads * grouped, width)
        return dq_RLHD, dk.permute(0, 2, 1, 3), dv.permute(0, 2, 1, 3)

    def _queries_last(self, b: Builder, x: View) -> View:
        """[R, N, X, G·i] of [R, N, G, i, X]."""
        return b.copy(x.permute(0, 1, 4, 2, 3)).merge(-2)


def _weigh(b: Builder, weights: View, v: View) -> View:
    """[R, N, G, i, D]: values [R, N, j, D] added up, each token's exponent folded into its weight."""
    e_v = b.exponent(v, raised=True)
    v_q = b.add_node(Kind.QUANTISE, v.transpose().sizes, [v.transpose(), e_v.insert(2)])
    scales = e_v.insert(2).insert(2)
    e = b.exponent(weights, scales, raised=True)
    w_q = b.add_node(Kind.QUANTISE, weights.sizes, [weights, e.insert(-1), scales])
    sizes = (*weights.sizes[:-1], v.sizes[-1])
    right = v_q.insert(2).insert(2)
    return b.add_node(Kind.DOT, sizes, [w_q.insert(-2), e.insert(-1), right], length=weights.sizes[-1])


def _heads_last(b: Builder, o: View) -> View:
    rows, kv_heads, grouped, length, width = o.sizes
    return b.flat(o.permute(0, 3, 1, 2, 4), rows, length, kv_heads * grouped * width)


@dataclass(frozen=True)
class Gated:
    """silu(gate) · up."""

    gate: View
    up: View
    sigmoid: View
    active: View

    @classmethod
    def forward(cls, b: Builder, gate: View, up: View) -> tuple[View, Gated]:
        sigmoid = b.map(Kind.SIGMOID, gate)
        active = b.mul(gate, sigmoid)
        return b.mul(active, up), cls(gate, up, sigmoid, active)

    def backward(self, b: Builder, g: View) -> tuple[View, View]:
        """(dgate, dup)."""
        one = b.constant(1.0)
        slope = b.mul(self.sigmoid, b.add(one, b.mul(self.gate, b.sub(one, self.sigmoid))))
        return b.mul(b.mul(g, self.up), slope), b.mul(g, self.active)
