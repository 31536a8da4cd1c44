"""Why this module exists: every setting has one name, one documented default, and one place that wins.

    command line  >  environment SWARM_SECTION__KEY  >  --config FILE (else HOME/config.yaml)
                  >  configs/PROFILE.yaml            >  configs/base.yaml

One peer's own HOME/peers/NAME/config.yaml lies over the file. Unknown keys are refused everywhere, with the nearest
known one. The groups of settings are in ``swarm.settings.sections``; rules leave here as ``protocol.run`` structs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from protocol.errors import ConfigError
from protocol.ids import ContentId
from protocol.run import (
    AuditRules,
    EconomyRules,
    GameRules,
    LearnRules,
    RunSpec,
    TaskSpec,
    least_unbonding_s,
)
from swarm.settings.home import Home
from swarm.settings.layers import Layers, peers_layers, read_layers
from swarm.settings.model_choice import model_name
from swarm.settings.sections import (
    AuditSettings,
    ChainSettings,
    EconomySettings,
    EngineSettings,
    GameSettings,
    LearnSettings,
    LocalPath,
    NetworkSettings,
    ObserveSettings,
    RunSettings,
    Section,
    TimeSettings,
    TrlSettings,
    WalletSettings,
)
from swarm.settings.times import times_of
from swarm.settings.whole_numbers import scaled

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS = REPOSITORY / "configs"
MODELS = REPOSITORY / "models"
BUNDLED_MODELS = frozenset({"tiny"})
"""Names of ``run.model`` that always mean a folder of models/, even where that is missing, and never a download."""
Profile = Literal["local", "join"]
"""``local``: a private swarm on this machine; ``join``: hosting for others, or playing in somebody's swarm."""


class Settings(Section):
    """Everything that can be set."""

    home: LocalPath = Field(default_factory=lambda: Home.default().root)
    """Where this swarm keeps its files."""
    run: RunSettings = RunSettings()
    game: GameSettings = GameSettings()
    learn: LearnSettings = LearnSettings()
    time: TimeSettings = TimeSettings()
    audit: AuditSettings = AuditSettings()
    economics: EconomySettings = EconomySettings()
    network: NetworkSettings = NetworkSettings()
    chain: ChainSettings = ChainSettings()
    wallet: WalletSettings = WalletSettings()
    engine: EngineSettings = EngineSettings()
    trl: TrlSettings = TrlSettings()
    observe: ObserveSettings = ObserveSettings()

    @field_validator("economics")
    @classmethod
    def _stake_outlasts_the_checks(cls, economics: EconomySettings, info: ValidationInfo) -> EconomySettings:
        time, audit = info.data.get("time"), info.data.get("audit")
        if time is None or audit is None:
            return economics  # what is wrong with these is told
        rules = EconomyRules(**economics.model_dump())
        least_s = least_unbonding_s(times_of(time), AuditRules(**audit.model_dump()), rules)
        if economics.unbonding_s < least_s:
            raise ValueError(
                f"unbonding_s must be at least (2 + patience_rounds) * round_s + move_s + challenge_s + answer_s"
                f" + dispute_s = {least_s}"
            )
        return economics

    def to_run_spec(self, *, chain_id: int, model: ContentId, task: TaskSpec, lora_rank: int = 0) -> RunSpec:
        """The rules of a run that this configuration founds. ``model``: content id of its genesis state, which
        adapters of ``lora_rank`` make up, or with 0 all weights. A time that is left open (``auto``) is what is enough
        for a small model."""
        game = self.game.model_dump()
        learn = self.learn.model_dump(exclude={"lora_rank"})
        return RunSpec(
            name=self.run.name,
            chain_id=chain_id,
            model=model,
            task=task,
            game=GameRules(temperature_milli=scaled("game.temperature", game.pop("temperature"), 3), **game),
            learn=LearnRules(
                num_external=learn.pop("num_external"),
                num_updates=learn.pop("num_updates"),
                **{f"{name}_nano": scaled(f"learn.{name}", value, 9) for name, value in learn.items()},
                lora_rank=lora_rank,
            ),
            time=times_of(self.time),
            audit=AuditRules(**self.audit.model_dump()),
            economics=EconomyRules(**self.economics.model_dump()),
            seed=self.run.seed,
        )

    def model_location(self) -> str:
        """Directory of a bundled model, or ``run.model`` as it is (a directory or a hub name)."""
        if self.run.model in BUNDLED_MODELS:
            return str(MODELS / self.run.model)
        return str(Path(self.run.model).expanduser())


def load_settings(
    profile: Profile,
    file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    peer: str | None = None,
) -> Settings:
    """The configuration in force, with that peer's own settings where ``peer`` names one of the home.

    ``overrides``: dotted keys from the command line, e.g. ``{"run.seed": 7}``; ``None`` values are not given.
    ``environment``: what to read ``SWARM_…`` variables from (none when ``None``; the command line passes os.environ).
    Raises ``ConfigError``: missing, unreadable or wrong file, unknown key or variable, value out of range.
    """
    known = known_keys()
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    layers = read_layers([CONFIGS / "base.yaml", CONFIGS / f"{profile}.yaml"], known)
    environment = environment or {}
    upper = model_name(environment).over(Layers.of_environment(environment, known))
    upper = upper.over(Layers.of_options(given, known))
    if file is None:
        own = _home_of(layers.over(upper)) / "config.yaml"
        file = own if own.is_file() else None
    if file is not None:
        layers = layers.over(read_layers([Path(file)], known))
    if peer is not None:
        layers = layers.over(peers_layers(Home(_home_of(layers.over(upper))).peer(peer).config_file, known))
    return _checked(layers.over(upper))


def _home_of(layers: Layers) -> Path:
    value, _ = layers.values.get("home", (Home.default().root, ""))
    return Path(value).expanduser()


def known_keys() -> dict[str, str]:
    """Every dotted key with its help text, in the order of the sections."""
    keys = {"home": Settings.model_fields["home"].description or ""}
    for section, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            inside = field.annotation.model_fields
            keys |= {f"{section}.{name}": item.description or "" for name, item in inside.items()}
    return keys


def _checked(layers: Layers) -> Settings:
    try:
        return Settings.model_validate(layers.nested())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"][:2])
        shown = "" if isinstance(first["input"], dict) else f", not {str(first['input'])[:80]!r}"
        raise ConfigError(
            f"{layers.source_of(key)}: {key}: {first['msg'].removeprefix('Value error, ')}{shown}.",
            "Nothing was started.",
            f"{known_keys().get(key, 'Correct the values of this section.')} See docs/configuration.md.",
        ) from error
