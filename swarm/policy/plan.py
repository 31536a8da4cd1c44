"""Why this module exists: a run that dies of memory after an hour could have been told in the first second. Pure.

What a peer takes, part by part, from the model's shape and the run's rules: before the start it is compared with what
the machine has, afterwards with what was measured (``benchmarks.memory``). The doctor asks the same function.
All sizes are bytes. The optimiser is AdamW in float32, the only one that a state is defined for.
"""

from __future__ import annotations

import msgspec

from swarm.policy.base import FULL_TRAINING_CAP, LORA_RANK

MB = 1_000_000
LIBRARIES = 590 * MB
"""A peer that has no model yet: torch, transformers, hivemind, web3, compiled kernels (Python 3.11, CPU build)."""

WEIGHT = 4
"""Per parameter: float32."""

SLICES = 2
"""Per parameter and direction, for the exact engine: weights cut into bytes for its products. Drawing multiplies one
way round, training both."""

ONE_WAY_ABOVE = 1 << 25
"""Elements: of a weight with more, slices are kept one way round at a time (``verde.numerics.gemm``)."""

TRAINED = 12
"""Per trained parameter: its gradient and both moments of AdamW."""

HANDED_OVER = 20
"""Per trained parameter, where other processes take the step: both moments, and the state as it comes back (12)."""

CHECKED = 36
"""Per trained parameter, where work is checked: the run's first state as it is shipped, the state that is checked
as it arrived, and the replica that does the step again (12 each)."""

PASS_BYTES = 160 << 20
"""About what one forward and backward pass keeps (see ``tokens_per_pass``)."""

SMALL_PASSES, SMALL_EXACT_PASSES = 200 * MB, 460 * MB
"""What passes of a small model hold at least: groups come shortest first, and what allocators keep of a shorter pass is
of little use for the next one. Exact results wait to be used again, too (``verde.numerics.memory``)."""

LEAST_TOKENS, WHOLE_GROUP_TOKENS = 128, 512
"""Tokens of a pass where these take more: in any case, and where their logits are small beside what layers keep."""

GROUP_LOGIT_WORDS = 1 << 24
"""Logits that a pass of ``WHOLE_GROUP_TOKENS`` may have; with larger vocabularies it has fewer tokens."""

HEADS_APART = frozenset({"gemma3_text", "llama", "mistral", "qwen2", "qwen3"})
"""Model types (of ``config.json``) whose logits are their last hidden rows times a matrix, and nothing more."""

SLIDING = frozenset({"gemma3_text"})
"""Those of them whose prompts are not shared by a group's answers (``swarm.policy.packing``)."""

FROZEN_HEAD_TOKENS = 768
"""Tokens of a pass where that matrix is not trained: its logits come and go a block of rows at a time."""

LOGIT_BLOCK_ROWS, LOGIT_BLOCK_WORDS = 160, 1 << 24
"""Rows of such a block at most, or its logits where that is more rows (``verde.numerics.head``)."""

LOGIT_BYTES = 7
"""A logit of a block, in whose place its gradient comes, and the bytes of the product with that."""

NATIVE_LOGIT_WORDS, NATIVE_LOGIT_BYTES = 1 << 23, 12
"""Logits of a block in torch's own arithmetic, and bytes of one with its gradient."""

SHORT_TOKENS = 256
"""Where logits would cut the native engine's passes into shorter ones than this, a group's prompt would be computed for
every few answers: then its passes are long, and its layers computed twice, which takes less time and memory."""

KEPT_ACTIVATIONS = 384 << 20
"""Where layers would keep more in a pass of exact arithmetic, they keep their inputs and are computed twice."""

CACHE, LEAST_CACHE = 64 << 20, 4 << 20
"""Keys and values of what is drawn at a time, at most; and the least with which a plan is made."""

DRAWN_LOGITS = 3
"""Copies of a row of logits while a token is drawn: raw, scaled, with noise."""

GPU_CONTEXT = 500 * MB
"""What a driver takes before anything is on the card."""

UNRETURNED = 10
"""Percent: what allocators hold beyond what was asked of them, and do not give back between a peer's stages."""

TOLERANCE = 0.20
"""How far a measured peak may lie from what was predicted."""


class ModelSize(msgspec.Struct, frozen=True):
    """A model's shape. ``stored``: bytes of its files that are read and widened, not mapped (0 for float32).
    ``family``: its ``model_type``."""

    num_params: int
    num_layers: int
    hidden: int
    feed_forward: int
    vocabulary: int
    stored: int = 0
    family: str = ""


class Workload(msgspec.Struct, frozen=True):
    """What a round asks: engine, adapters (0: all weights; ``None``: by size), lengths in tokens, rows at a time.

    ``sequence``: the longest prompt with its completion; ``completion``: the longest completion; ``prompts``: distinct
    prompts that are drawn from at once; ``cache``: bytes of keys and values; ``processes``: that take a training step
    together (1: the peer itself)."""

    engine: str = "exact"
    lora_rank: int | None = None
    sequence: int = 512
    completion: int = 72
    prompts: int = 32
    cache: int = CACHE
    on_gpu: bool = False
    processes: int = 1


class Demand(msgspec.Struct, frozen=True):
    """The parts of a peak, in bytes. They do not all come at one time: ``peak`` is the worst moment.

    ``workers``: what processes of its own take beside the peer where its engine computes; not in ``peak``, which is
    what the peer's own process is measured by, but in ``total``."""

    libraries: int
    weights: int
    loading: int
    slices_drawing: int
    slices_training: int
    training: int
    checking: int
    drawing: int
    one_pass: int
    workers: int = 0

    @property
    def total(self) -> int:
        """The peer's peak, and its workers."""
        return self.peak + self.workers

    @property
    def peak(self) -> int:
        """Loading, drawing, or a training step beside what is kept for checks."""
        kept = self.weights + self.training + self.checking
        worst = max(
            self.weights + self.loading,
            kept + self.slices_drawing + self.drawing,
            kept + self.slices_training + self.one_pass,
        )
        return self.libraries + worst + worst * UNRETURNED // 100


class Plan(msgspec.Struct, frozen=True):
    """What is predicted, against what is ``free``. ``cache``: keys and values that fit; ``place``: RAM or VRAM."""

    demand: Demand
    free: int
    cache: int
    place: str

    @property
    def fits(self) -> bool:
        return self.demand.total <= self.free


def tokens_per_pass(bytes_per_token: int, vocabulary: int, *, is_head_frozen: bool = False) -> int:
    """Tokens of one forward and backward pass of a training step, of which each keeps so many bytes.

    It cuts a step into micro-batches, so it belongs to the profile ``exact/1``: no machine's memory enters. A prompt is
    computed again in every pass that its group is cut into, gradients of all weights are added up once per pass, and
    short passes wait for the interpreter: so a pass is long enough for a group of answers wherever that costs little
    memory (layers of large models are computed twice; logits are what is left, unless ``is_head_frozen``: the matrix
    that makes them is not trained, and the model is one of ``HEADS_APART``).
    """
    group = min(WHOLE_GROUP_TOKENS, GROUP_LOGIT_WORDS // max(1, vocabulary))
    if is_head_frozen:
        group = FROZEN_HEAD_TOKENS
    return max(LEAST_TOKENS, group, PASS_BYTES // max(1, bytes_per_token))


def adapters_of(size: ModelSize, rank: int | None) -> int:
    """The rank in force: ``rank``, or what the model's size suggests."""
    if rank is not None:
        return rank
    return LORA_RANK if size.num_params > FULL_TRAINING_CAP else 0


def num_trained(size: ModelSize, rank: int | None) -> int:
    """Parameters that are trained: all, or adapters beside every linear map, which have as many rows and columns."""
    rank = adapters_of(size, rank)
    if not rank:
        return size.num_params
    return rank * size.num_layers * (8 * size.hidden + 3 * (size.hidden + size.feed_forward))


def demand(size: ModelSize, work: Workload) -> Demand:
    """What a peer with this model and work takes."""
    is_exact = work.engine == "exact"
    rank = adapters_of(size, work.lora_rank)
    trained = num_trained(size, rank)
    head = size.vocabulary * size.hidden
    one_way = head if head >= ONE_WAY_ABOVE else 0
    drawn = 4 * size.vocabulary * (DRAWN_LOGITS * max(1, work.prompts))
    libraries = GPU_CONTEXT if work.on_gpu else LIBRARIES
    weights = size.num_params * WEIGHT
    adapters = WEIGHT if rank else 0
    small = SMALL_EXACT_PASSES if is_exact else SMALL_PASSES
    one_pass = max(small, _one_pass(size, work, is_frozen=bool(rank)))
    is_handed_over = work.processes > 1
    each = weights + trained * (TRAINED + adapters) + one_pass
    num_here = 1 if work.on_gpu else work.processes  # each has its card; the peer is on the first
    return Demand(
        libraries=libraries,
        weights=weights,
        loading=0 if work.on_gpu else size.stored,
        slices_drawing=size.num_params * SLICES if is_exact else 0,
        slices_training=(2 * size.num_params - one_way) * SLICES if is_exact else 0,
        training=trained * ((HANDED_OVER if is_handed_over else TRAINED) + adapters),
        checking=trained * CHECKED if is_exact else 0,
        drawing=work.cache + drawn,
        one_pass=0 if is_handed_over else one_pass,
        workers=num_here * (libraries + each + each * UNRETURNED // 100) if is_handed_over else 0,
    )


def _one_pass(size: ModelSize, work: Workload, *, is_frozen: bool) -> int:
    """Activations and logits of a pass; ``is_frozen``: adapters are trained."""
    is_exact = work.engine == "exact"
    per_layer = 4 * (24 * size.hidden + 8 * size.feed_forward)
    per_token = size.num_layers * per_layer + 16 * size.vocabulary
    is_apart = is_frozen and size.family in HEADS_APART
    short = tokens_per_pass(per_token, size.vocabulary)
    is_long = is_apart and (is_exact or (short < SHORT_TOKENS and size.family not in SLIDING))
    tokens = tokens_per_pass(per_token, size.vocabulary, is_head_frozen=is_long)
    # A pass is never cut inside a sequence; logits are kept of completions only.
    sequence = max(tokens, work.sequence)
    layers = sequence * size.num_layers * per_layer
    is_twice = layers > KEPT_ACTIVATIONS if is_exact else is_long
    if is_twice:
        layers = sequence * (per_layer + 8 * size.num_layers * size.hidden)
    logits = max(work.completion, tokens // 2) * 16 * size.vocabulary
    if is_apart and is_exact:
        block = max(LOGIT_BLOCK_ROWS, LOGIT_BLOCK_WORDS // max(1, size.vocabulary))
        logits = min(max(work.completion, tokens), block) * LOGIT_BYTES * size.vocabulary
    elif is_apart:
        logits = NATIVE_LOGIT_BYTES * max(NATIVE_LOGIT_WORDS, size.vocabulary)
    return layers + logits


def plan(size: ModelSize, work: Workload, free: int) -> Plan:
    """The largest cache of keys and values with which the work fits ``free``; the smallest one where none does.

    A smaller cache means smaller batches: slower, with the same bits. A training pass is not made smaller: how a step
    is cut is a part of what it computes.
    """
    cache = work.cache
    while True:
        found = Plan(
            demand(size, msgspec.structs.replace(work, cache=cache)), free, cache, "VRAM" if work.on_gpu else "RAM"
        )
        if found.fits or cache // 2 < LEAST_CACHE:
            return found
        cache //= 2


def largest_fitting(size: ModelSize, work: Workload, free: int) -> int:
    """About how many parameters a model like this one could have to fit ``free``, trained through adapters; 0: none."""
    with_adapters = msgspec.structs.replace(work, lora_rank=work.lora_rank or LORA_RANK, cache=LEAST_CACHE)
    low, high = 0, 1 << 40
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        if demand(_scaled(size, middle), with_adapters).total <= free:
            low = middle
        else:
            high = middle
    return low


def is_near(predicted: int, measured: int) -> bool:
    """Whether a measured peak is within the tolerance of what was predicted."""
    return abs(measured - predicted) <= TOLERANCE * predicted


def _scaled(size: ModelSize, num_params: int) -> ModelSize:
    """A model of so many parameters, otherwise in the shape of ``size``: as deep, and narrower or wider."""
    ratio = (num_params / max(1, size.num_params)) ** 0.5
    return ModelSize(
        num_params=num_params,
        num_layers=size.num_layers,
        hidden=max(1, int(size.hidden * ratio)),
        feed_forward=max(1, int(size.feed_forward * ratio)),
        vocabulary=size.vocabulary,
        stored=2 * num_params,
        family=size.family,
    )
