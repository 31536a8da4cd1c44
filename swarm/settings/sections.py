"""Why this module exists: each group of settings says what there is to set, its default, its limits, and its help.

The docstring under a field is its help text; what must fit together within a group is checked here. How a setting gets
its value is ``swarm.settings.config``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from protocol.run import MAX_LEVELS, TOLERANCE_CHECKED


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is wanted, not yes or no")
    return value


def _several(value: Any) -> Any:
    """Lists may be given as one line of text, as environment variables have to."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _from_home(value: Any) -> Any:
    return Path(value).expanduser() if isinstance(value, str) else value


Count = Annotated[int, BeforeValidator(_number)]
Real = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_several)]
LocalPath = Annotated[Path, BeforeValidator(_from_home)]
Port = Annotated[Count, Field(ge=0, le=65535)]
Account = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]


class Section(BaseModel):
    """Base of all sections: immutable, documented, closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True)


class RunSettings(Section):
    name: str = Field("private", min_length=1, max_length=64)
    """What people call this run."""
    seed: Count = Field(0, ge=0, lt=2**63)
    """The run's own salt: another seed, another run."""
    task: str = Field("sums", min_length=1)
    """A task of configs/tasks, or the path of a task file or of a file of questions."""
    model: str = Field("tiny", min_length=1)
    """A model of models/, a directory, a GGUF file, a Hugging Face name, or auto: by this machine's memory."""
    model_pool: Texts = ("0:tiny",)
    """For auto, as GB:MODEL from small to large: the last one whose GB of memory are free is taken."""
    min_peers: Count = Field(1, ge=1, le=10_000)
    """Round 1 opens when this many peers are enrolled."""


class GameSettings(Section):
    num_questions: Count = Field(32, ge=1, le=1024)
    """Questions of a round, shared by a cohort."""
    num_samples: Count = Field(8, ge=2, le=256)
    """Completions that a peer samples per question and stage."""
    answer_tokens: Count = Field(64, ge=1, le=8192)
    """Most tokens of an answer."""
    critique_tokens: Count = Field(64, ge=1, le=8192)
    """Most tokens of a critique."""
    decide_tokens: Count = Field(72, ge=1, le=8192)
    """Most tokens of a decision."""
    temperature: Real = Field(1.0, gt=0, le=10)
    """Sampling temperature, in steps of 0.001."""
    cohort_size: Count = Field(8, ge=2, le=64)
    """The most peers that read each other's work in a round."""
    format_milli: Count = Field(200, ge=0, le=450)
    """Thousandths of a score that are for keeping to the form."""
    length_milli: Count = Field(0, ge=0, le=450)
    """Thousandths of a score that are for being right and short."""
    length_free_milli: Count = Field(500, ge=0, le=1000)
    """Up to so many thousandths of a stage's token limit count as short; from there to the limit less and less."""
    skip_even: bool = False
    """Leave groups that are all right or all wrong out of the training step's means, too (as DAPO does)."""
    follow_level: bool = True
    """Of a task with levels, ask questions of one that follows what the peers can do; no: of all levels at once."""
    lowest_level: Count = Field(1, ge=1, le=MAX_LEVELS)
    """The level that a run begins with, and the easiest that it goes back to."""
    highest_level: Count = Field(0, ge=0, le=MAX_LEVELS)
    """The hardest level that is asked; 0: the task's last."""
    level_up_milli: Count = Field(800, ge=1, le=1000)
    """A level up when most peers got at least so many thousandths of their answers right."""
    level_down_milli: Count = Field(200, ge=0, le=999)
    """A level down when most peers got at most so many thousandths of their answers right."""

    @model_validator(mode="after")
    def _levels_are_in_order(self) -> GameSettings:
        if self.level_down_milli >= self.level_up_milli:
            raise ValueError("level_down_milli must be below level_up_milli")
        if 0 < self.highest_level < self.lowest_level:
            raise ValueError("highest_level must be 0 or at least lowest_level")
        return self


class LearnSettings(Section):
    num_external: Count = Field(8, ge=0, le=4096)
    """Completions of other peers that enter training, per question and stage."""
    num_updates: Count = Field(4, ge=1, le=64)
    """Optimiser steps per round."""
    learning_rate: Real = Field(5e-5, gt=0, le=1)
    """Step size of AdamW."""
    epsilon_low: Real = Field(0.2, gt=0, lt=1)
    """Lower clip of the probability ratio: 1 - this."""
    epsilon_high: Real = Field(0.28, gt=0, lt=10)
    """Upper clip of the probability ratio: 1 + this."""
    delta: Real = Field(4.0, ge=0, le=1000)
    """Second clip, for negative advantages: the ratio counts for at most this; 0 turns it off."""
    beta: Real = Field(0.0, ge=0, le=10)
    """Weight of the KL term; 0 turns it off."""
    weight_decay: Real = Field(0.0, ge=0, le=1)
    """Decoupled weight decay of AdamW."""
    max_grad_norm: Real = Field(1.0, gt=0, le=1000)
    """Gradients longer than this are scaled down to it."""
    lora_rank: Literal["auto"] | Annotated[int, Field(ge=0, le=1024)] = "auto"
    """Rank of the adapters (LoRA) that are trained; 0 trains all weights; auto: 8 for models above 50M parameters."""

    @model_validator(mode="after")
    def _second_clip_is_outside_the_first(self) -> LearnSettings:
        if 0 < self.delta <= 1 + self.epsilon_high:
            raise ValueError("delta must be 0 or greater than 1 + epsilon_high")
        return self


AUTO_TIMES = {"stage_s": 60, "contribute_s": 60, "round_s": 300}
"""What ``auto`` is at least, and for small models."""


def least_round_s(stage_s: int, contribute_s: int, poster_s: int) -> int:
    """Seconds that a round's stages, contributions and first poster take at most."""
    return 3 * stage_s + contribute_s + poster_s


class TimeSettings(Section):
    """``auto``: by how long the model's work takes on the founder's machine, and at least what a small model gets."""

    stage_s: Literal["auto"] | Annotated[Count, Field(ge=1, le=86_400)] = "auto"
    """A stage waits so many seconds for the cohort's work; auto: three times what it takes here, 60 at least."""
    contribute_s: Literal["auto"] | Annotated[Count, Field(ge=1, le=86_400)] = "auto"
    """How long signed contributions are waited for; auto: three times what a training step takes here, 60 at least."""
    poster_s: Count = Field(10, ge=1, le=3600)
    """How long a drawn poster may be silent before the next one takes over."""
    round_s: Literal["auto"] | Annotated[Count, Field(ge=1, le=604_800)] = "auto"
    """After this long anybody may open the next round; auto: long enough for all of it, 300 at least."""

    @model_validator(mode="after")
    def _a_round_holds_its_stages(self) -> TimeSettings:
        stage_s, contribute_s = (
            given if isinstance(given, int) else AUTO_TIMES[name]
            for name, given in (("stage_s", self.stage_s), ("contribute_s", self.contribute_s))
        )
        least = least_round_s(stage_s, contribute_s, self.poster_s)
        if isinstance(self.round_s, int) and self.round_s < least:
            raise ValueError(f"round_s must be at least 3 * stage_s + contribute_s + poster_s = {least}")
        return self


class AuditSettings(Section):
    engine: str = Field("exact", min_length=1, max_length=32)
    """Arithmetic of the run: exact, native or trl; contributions of another one are refused, unless it is tolerated."""
    tolerated: Texts = ()
    """Engines beside it whose work counts, too (native, trl): checked by tolerance, paid less, never slashed."""
    tolerance_ppm: Count = Field(1000, ge=0, le=1_000_000)
    """Millionths of probability mass by which a token of native or trl may miss what its seed draws."""
    num_holders: Count = Field(2, ge=0, le=16)
    """Others that keep a contribution's state and rollouts until it is paid."""
    num_auditors: Count = Field(1, ge=0, le=16)
    """Others that check a contribution after it was recorded; 0: nothing is spot-checked."""
    num_attestors: Count = Field(3, ge=1, le=31)
    """Others that check what an auditor accuses; it counts when most of them find it, too."""
    rollouts_per_audit: Count = Field(16, ge=0, le=4096)
    """Rollouts that an auditor samples again."""
    step_rate_ppm: Count = Field(50_000, ge=0, le=1_000_000)
    """In how many of a million contributions an auditor replays the training step, too."""
    patience_rounds: Count = Field(3, ge=0, le=16)
    """Results that an accused, undecided contribution waits for before it is paid all the same."""

    @model_validator(mode="after")
    def _only_inexact_engines_are_tolerated(self) -> AuditSettings:
        wrong = [name for name in self.tolerated if name not in TOLERANCE_CHECKED or name == self.engine]
        if wrong or len(set(self.tolerated)) < len(self.tolerated):
            raise ValueError(
                f"tolerated names {', '.join(sorted(TOLERANCE_CHECKED))}, each once and not as engine, too"
            )
        return self


class EconomySettings(Section):
    """Amounts in millionths of a token."""

    min_stake_micro: Count = Field(25_000_000, ge=0, le=2**53)
    """Deposit for which a member has weight 1 in votes and draws; 0: none is asked."""
    bond_micro: Count = Field(10_000_000, ge=1, le=2**53)
    """What a challenge of a payout risks."""
    budget_micro: Count = Field(1_000_000_000_000, ge=1, le=2**53)
    """What the founder puts up to pay everybody; no more can ever be earned in the run."""
    round_emission_micro: Count = Field(100_000_000_000, ge=1, le=2**53)
    """The most that one round may earn."""
    quorum_size: Count = Field(48, ge=1, le=4096)
    """Expected weight of the members drawn to sign a result; a smaller swarm needs more than half of everybody."""
    epoch_rounds: Count = Field(10, ge=1, le=100_000)
    """Recorded rounds that are paid out together."""
    challenge_s: Count = Field(600, ge=1, le=604_800)
    """How long a payout can be challenged."""
    dispute_s: Count = Field(600, ge=1, le=604_800)
    """How long pay stays locked after that."""
    answer_s: Count = Field(600, ge=1, le=604_800)
    """How long a challenged payout may wait for the signatures that affirm it."""
    unbonding_s: Count = Field(86_400, ge=1, le=31_536_000)
    """How long stake that is taken out can still be lost: until a lie of that round would have been found."""
    absence_rounds: Count = Field(4, ge=1, le=100_000)
    """A member that contributed to none of so many recorded rounds may be dropped; until then it is waited for."""
    barred_rounds: Count = Field(16, ge=1, le=1_000_000)
    """How long a member of bad standing stays out."""
    auditor_micro: Count = Field(20_000, ge=0, le=2**53)
    """Pay of a drawn auditor whose verdict matches the outcome."""
    newcomer_rounds: Count = Field(10, ge=0, le=100_000)
    """Rounds in which a peer counts as new."""
    newcomer_floor_milli: Count = Field(200, ge=0, le=1000)
    """What a new peer earns at least for work that holds, in thousandths of a full round."""
    late_share_milli: Count = Field(500, ge=0, le=1000)
    """What late work earns of its pay, in thousandths."""
    unreplayable_share_milli: Count = Field(150, ge=0, le=1000)
    """What work earns of its pay that nobody can do again bit for bit (native, trl), in thousandths."""
    tolerated_cap_milli: Count = Field(250, ge=0, le=1000)
    """The most that such work earns together of what a round of an exact run earns, in thousandths."""
    trace_s: Count = Field(21_600, ge=1, le=604_800)
    """How long an accused peer has to do its step again, node by node (some ten times a step), and to commit to it."""
    move_s: Count = Field(3600, ge=1, le=604_800)
    """How long each later move of a dispute may take, some of which need the step done again up to a node."""
    dispute_bond_micro: Count = Field(10_000_000, ge=1, le=2**53)
    """What opening a dispute risks; half of a lost one goes to the peer that was wrongly accused."""

    @model_validator(mode="after")
    def _rules_fit_together(self) -> EconomySettings:
        if self.round_emission_micro > self.budget_micro:
            raise ValueError("round_emission_micro must not be above budget_micro")
        return self


class NetworkSettings(Section):
    host: str = Field("127.0.0.1", min_length=1)
    """Address to listen on; 0.0.0.0 listens on all."""
    port: Port = 0
    """Port to listen on; 0 takes a free one."""
    announce: str | None = None
    """Address that others dial, where it is not the one listened on."""
    bootnodes: Texts = ()
    """Multiaddresses of peers to join through, besides those of the join token."""
    start_timeout_s: Real = Field(30.0, gt=0, le=3600)
    """How long the peer-to-peer daemon may take to start."""


class ChainSettings(Section):
    chain_id: Count = Field(0, ge=0, lt=2**63)
    """The only chain that anything may be signed for; 0: the one that the join token names, a dev chain for a host."""
    rpc: Texts = ()
    """RPC endpoints, tried in order, instead of those of the join token."""
    public_rpc: Texts = ()
    """RPC endpoints that a join token hands on; without any, those of `chain.rpc` that cannot hold a key."""
    registry: Account | None = None
    """PeerRegistry of the chain, where somebody else deployed it; `swarm deploy` writes a file instead."""
    token: Account | None = None
    """SwarmToken of the chain, likewise."""
    factory: Account | None = None
    """RunFactory of the chain, likewise."""
    max_fee_gwei: Real = Field(500.0, gt=0, le=1e9)
    """The most that a transaction offers per gas; what costs more waits."""
    max_tip_gwei: Real = Field(50.0, ge=0, le=1e9)
    """The most of it that is offered as a tip."""
    confirmations: Count = Field(0, ge=0, le=10_000)
    """Blocks that must follow a transaction's; 0: two on a swarm's own dev chain, twelve elsewhere."""
    block_time_s: Real = Field(0.5, ge=0.1, le=600)
    """Seconds between blocks of the dev chain; longer ones save a long-lived host disk and memory."""
    gate_host: str = Field("127.0.0.1", min_length=1)
    """Address on which the dev chain's gate listens."""
    gate_port: Port = 0
    """Port of the gate; 0 takes a free one."""
    claim_every: Count = Field(10, ge=0, le=1_000_000)
    """Claim every so many rounds, by turns for many peers at once, and at the end; 0: at the end only."""

    @model_validator(mode="after")
    def _the_chains_contracts_are_named_together(self) -> ChainSettings:
        named = [name for name in ("registry", "token", "factory") if getattr(self, name) is not None]
        if named and (len(named) < 3 or not self.chain_id):
            raise ValueError("registry, token and factory are given together, and with chain_id")
        return self


class WalletSettings(Section):
    password_file: LocalPath | None = None
    """File with the wallet's password; without it, one is made beside the wallet."""


class EngineSettings(Section):
    kind: Literal["run", "exact", "native", "trl"] = "run"
    """This peer's engine: `run` is the run's own (`audit.engine`), else it must be that or a tolerated one."""
    device: str = Field("cpu", min_length=1)
    """PyTorch device: cpu, cuda, cuda:1, mps (native engine only), or auto: cuda where there is one. The exact engine
    examines a GPU when it starts and refuses one whose bits are not everybody's."""
    threads: Count = Field(0, ge=0, le=1024)
    """Threads for arithmetic; 0 shares the machine's cores among its peers."""


class TrlSettings(Section):
    """Options of the trl engine (`trl.GRPOConfig`); the run's rules of learning hold for every engine."""

    loss_type: Literal["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo"] = "dapo"
    """TRL's loss."""
    importance_sampling_level: Literal["token", "sequence"] = "token"
    """Whether the probability ratio is a token's or a whole completion's (GSPO)."""
    mask_truncated_completions: bool = False
    """Leave completions out of the loss that the token limit cut off."""
    top_entropy_quantile: Real = Field(1.0, gt=0, le=1)
    """Learn from this share of the tokens only, those of highest entropy."""
    entropy_coef: Real = Field(0.0, ge=0, le=10)
    """Weight of a bonus for entropy."""
    off_policy_mask_threshold: Real | None = Field(None, gt=0, le=1000)
    """Leave completions out that are worse than average and drifted further than this; none: off."""
    use_bias_correction_kl: bool = True
    """Weigh the KL term by the probability ratio."""
    sapo_temperature_pos: Real = Field(1.0, gt=0, le=1000)
    """Temperature of the soft gate of loss_type sapo where the advantage is positive."""
    sapo_temperature_neg: Real = Field(1.05, gt=0, le=1000)
    """The same where it is not."""
    batch_size: Count = Field(16, ge=1, le=4096)
    """Completions of one forward and backward pass (of each process)."""
    processes: Count = Field(1, ge=1, le=64)
    """Processes that take a training step together, on GPUs one for each card, cuda:0 first. Above 1, each is a process
    of its own beside the peer, with the model in its memory once more."""
    patience_s: Real = Field(300.0, ge=5, le=86_400)
    """Seconds in which such processes show no progress (a micro-batch) before the step is given up."""
    bf16: bool = False
    """Train in mixed precision (a GPU, or a CPU that has it)."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: slower, in less memory."""
    use_vllm: bool = False
    """Draw with vLLM instead of transformers; it is installed separately and needs a GPU."""
    vllm_memory: Real = Field(0.3, gt=0, le=0.95)
    """Share of the GPU's memory that vLLM may take."""


class ObserveSettings(Section):
    eval_every: Count = Field(2, ge=0, le=1_000_000)
    """Evaluate on held-out questions after every so many rounds; 0: at the start and the end only."""
    num_eval_questions: Count = Field(512, ge=1, le=65_536)
    """Held-out questions per evaluation."""
    metrics: bool = True
    """Serve Prometheus metrics and health of each peer over HTTP."""
    metrics_host: str = Field("127.0.0.1", min_length=1)
    """Address on which they are served; whoever reaches it can read them."""
    metrics_port: Port = 0
    """Port of a peer's metrics; 0 takes a free one and says which."""
    tracker: Literal["none", "trackio", "wandb"] = "none"
    """Experiment tracker that gets a peer's curves: `trackio`, `wandb` (both installed separately) or none."""
    tracker_project: str = Field("rl-swarm", min_length=1, max_length=64)
    """Project under which the tracker keeps them."""
