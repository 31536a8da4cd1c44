"""Settings: one name, one default, one place that wins, and a wrong one is named with where it was written."""

import ast
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ConfigError
from protocol.ids import ContentId
from protocol.run import FamilySpec, TaskSpec
from swarm.settings.config import REPOSITORY, Settings, known_keys, load_settings
from swarm.settings.resolved import save_resolved

GENESIS = ContentId("ab" * 32)
TASK = TaskSpec("sums", "1", (FamilySpec("chain_sum", 1, "{}"),), 8)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refused(*arguments, **named) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_settings(*arguments, **named)
    assert caught.value.exit_code == 2
    return caught.value


def test_the_shipped_files_and_the_built_in_defaults_agree():
    shipped = load_settings("local")
    assert shipped.game == Settings().game
    assert shipped.time == Settings().time
    assert shipped.network.host == shipped.chain.gate_host == "127.0.0.1"


def test_joining_listens_on_every_address_and_a_private_swarm_on_none_but_loopback():
    assert load_settings("join").network.host == "0.0.0.0"
    assert load_settings("local").network.host == "127.0.0.1"


def test_the_later_place_wins_over_the_earlier(tmp_path, home):
    own = written(home / "config.yaml", "run: {seed: 1, name: from-home}\ngame: {num_samples: 3}\n")
    named = written(tmp_path / "other.yaml", "run: {seed: 2}\ngame: {num_samples: 4}\n")
    environment = {"SWARM_HOME": str(home), "SWARM_RUN__SEED": "3", "PATH": "/bin"}
    assert own.is_file()
    assert load_settings("local").run.seed == 0
    assert load_settings("local", overrides={"home": home}).run.seed == 1
    assert load_settings("local", overrides={"home": home}).run.name == "from-home"
    assert load_settings("local", named, {"home": home}).run.seed == 2
    assert load_settings("local", named, {"home": home}).run.name == "private", "--config stands instead of the home's"
    assert load_settings("local", named, environment=environment).run.seed == 3
    assert load_settings("local", named, {"run.seed": 4}, environment).run.seed == 4
    assert load_settings("local", named, {"run.seed": 4}, environment).game.num_samples == 4


def test_an_option_that_was_not_given_changes_nothing():
    assert load_settings("local", overrides={"run.seed": None, "run.task": None}) == load_settings("local")


def test_environment_variables_reach_every_kind_of_setting(home):
    environment = {
        "SWARM_HOME": str(home),
        "SWARM_GAME__NUM_SAMPLES": "5",
        "SWARM_LEARN__LEARNING_RATE": "1e-4",
        "SWARM_NETWORK__BOOTNODES": "/ip4/192.0.2.1/tcp/1/p2p/QmA, /ip4/192.0.2.2/tcp/1/p2p/QmB",
        "SWARM_CHAIN__RPC": "http://192.0.2.3:8545",
        "SWARM_WALLET__PASSWORD_FILE": "~/secret",
        "SWARM_NETWORK__ANNOUNCE": "",
        "SWARM_PYTHON": "python3.12",
        "SWARM_WALLET_PASSWORD": "hush",
    }
    settings = load_settings("local", environment=environment)
    assert settings.home == home
    assert settings.game.num_samples == 5
    assert settings.learn.learning_rate == 1e-4
    assert settings.network.bootnodes == ("/ip4/192.0.2.1/tcp/1/p2p/QmA", "/ip4/192.0.2.2/tcp/1/p2p/QmB")
    assert settings.chain.rpc == ("http://192.0.2.3:8545",)
    assert settings.wallet.password_file == Path.home() / "secret"
    assert settings.network.announce is None


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("SWARM_GAME_NUM_SAMPLES", "SWARM_GAME__NUM_SAMPLES"),
        ("SWARM_RUN__SEEDS", "SWARM_RUN__SEED"),
        ("SWARM_HOMES", "SWARM_HOME"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_known_one(variable, meant):
    error = refused("local", environment={variable: "1"})
    assert variable in error.what
    assert error.next_step == f"Did you mean {meant}?"


@pytest.mark.parametrize(
    ("text", "named", "next_step"),
    [
        ("run: {sed: 1}", "run.sed", "Did you mean run.seed?"),
        ("runs: {seed: 1}", "runs", "Did you mean run?"),
        ("zzz: 1", "zzz", "docs/configuration.md lists all settings."),
        ("seed: 1", "seed", "Did you mean run.seed?"),
    ],
)
def test_an_unknown_key_is_refused_with_file_and_nearest_known_one(tmp_path, text, named, next_step):
    file = written(tmp_path / "mine.yaml", text)
    error = refused("local", file)
    assert str(file) in error.what
    assert named in error.what
    assert error.next_step == next_step


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("game: {num_samples: 1}", "game.num_samples"),
        ("game: {num_samples: many}", "game.num_samples"),
        ("game: {num_samples: 8.5}", "game.num_samples"),
        ("game: {num_samples: true}", "game.num_samples"),
        ("game: {temperature: .nan}", "game.temperature"),
        ("learn: {learning_rate: .inf}", "learn.learning_rate"),
        ("learn: {learning_rate: 0}", "learn.learning_rate"),
        ("learn: {delta: 1.1}", "learn"),
        ("time: {round_s: 100}", "time"),
        ("time: {stage_s: 100, round_s: 300}", "time"),
        ("time: {stage_s: soon}", "time.stage_s"),
        ("time: {stage_s: true}", "time.stage_s"),
        ("time: {contribute_s: 0}", "time.contribute_s"),
        ("network: {port: 70000}", "network.port"),
        ("run: {seed: -1}", "run.seed"),
        ("run: {seed: 9223372036854775808}", "run.seed"),
        ("run: {name: ''}", "run.name"),
        ("run: {task: [sums]}", "run.task"),
        ("chain: {rpc: {a: 1}}", "chain.rpc"),
    ],
)
def test_a_value_out_of_range_is_refused_with_file_and_key(tmp_path, text, key):
    file = written(tmp_path / "mine.yaml", text)
    error = refused("local", file)
    assert str(file) in error.what
    assert f" {key}: " in error.what


def test_a_wrong_variable_or_option_is_named_as_such():
    assert "environment variable SWARM_RUN__SEED" in refused("local", environment={"SWARM_RUN__SEED": "x"}).what
    assert "command line" in refused("local", overrides={"run.seed": "x"}).what


def test_a_round_too_short_for_its_stages_says_how_long_it_must_be(tmp_path):
    error = refused("local", written(tmp_path / "mine.yaml", "time: {stage_s: 100, round_s: 200}"))
    assert "at least 3 * stage_s + contribute_s + poster_s = 370" in error.what


@pytest.mark.parametrize(
    ("section", "least_s"),
    [
        ("economics: {unbonding_s: 2115}", 2116),  # 5 rounds of 300 s, a move of 600, 4 + 8 + 4
        ("time: {round_s: 1000}", 5616),
        ("audit: {patience_rounds: 16}", 6016),
        ("economics: {move_s: 3000}", 4516),
        ("economics: {dispute_s: 2000}", 4112),
    ],
)
def test_stake_that_could_leave_before_its_peers_lie_is_found_is_refused(tmp_path, section, least_s):
    file = written(tmp_path / "mine.yaml", section)
    error = refused("local", file)
    assert "unbonding_s must be at least (2 + patience_rounds) * round_s + move_s" in error.what
    assert f"= {least_s}" in error.what
    assert str(file) in error.what or "round_s" in section or "patience" in section
    enough = load_settings("local", file, overrides={"economics.unbonding_s": least_s})
    enough.to_run_spec(chain_id=31337, model=GENESIS, task=TASK).require_liable_stake()


@pytest.mark.parametrize("file", [None, *sorted((REPOSITORY / "configs").glob("*.yaml"))], ids=str)
@pytest.mark.parametrize("profile", ["local", "join"])
def test_runs_of_the_shipped_settings_can_be_joined(profile, file):
    spec = load_settings(profile, file).to_run_spec(chain_id=31337, model=GENESIS, task=TASK)
    spec.require_liable_stake()


NO_CONFIGURATION = {
    "cut off": "run: [seed",
    "a section twice": "run: {seed: 1}\nrun: {seed: 2}",
    "a key twice": "run: {seed: 1, seed: 2}",
    "a list": "- run",
    "a number for a section": "run: 7",
    "code": "!!python/object/apply:os.system [echo]",
    "no text": "\x00",
    "too deep": "[" * 1500,
    "a mapping for a key": "? {a: 1}\n: 2",
    "too large": "#" + "x" * 300_000,
}


@pytest.mark.parametrize("text", NO_CONFIGURATION.values(), ids=NO_CONFIGURATION.keys())
def test_a_file_that_is_no_configuration_is_refused_with_its_name(tmp_path, text):
    file = written(tmp_path / "mine.yaml", text)
    assert str(file) in refused("local", file).what


def test_a_missing_or_unreadable_file_is_refused_with_its_name(tmp_path):
    assert "No such file" in refused("local", tmp_path / "none.yaml").what
    assert "directory" in refused("local", tmp_path).what


def test_an_empty_file_or_section_changes_nothing(tmp_path):
    for text in ("", "# nothing\n", "run:\n", "run: {}\n", "run: {seed: null}\n"):
        assert load_settings("local", written(tmp_path / "mine.yaml", text)) == load_settings("local")


def test_a_path_that_begins_with_a_dot_is_meant_from_the_file_that_says_it(tmp_path):
    file = written(tmp_path / "deep" / "mine.yaml", "run: {model: ./my-model, task: ../tasks/own.yaml}\n")
    settings = load_settings("local", file)
    assert settings.run.model == str(tmp_path / "deep" / "my-model")
    assert settings.run.task == str(tmp_path / "tasks" / "own.yaml")


def test_a_bundled_model_is_found_from_anywhere_and_other_names_stay_as_they_are(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("Qwen/Qwen2.5-0.5B", "/models/mine", "gpt2", "..", "."):
        assert load_settings("local", overrides={"run.model": name}).model_location() == name
    assert load_settings("local").model_location() == str(REPOSITORY / "models" / "tiny")


def test_the_rules_of_a_run_are_whole_numbers():
    spec = load_settings("local", overrides={"run.seed": 7}).to_run_spec(chain_id=31337, model=GENESIS, task=TASK)
    assert (spec.seed, spec.chain_id, spec.model, spec.task) == (7, 31337, GENESIS, TASK)
    assert spec.game.temperature_milli == 1000
    assert spec.learn.learning_rate_nano == 50_000
    assert (spec.learn.epsilon_low_nano, spec.learn.epsilon_high_nano) == (200_000_000, 280_000_000)
    assert (spec.learn.delta_nano, spec.learn.beta_nano) == (4_000_000_000, 0)
    assert (spec.time.stage_s, spec.time.round_s) == (60, 300)


@given(st.integers(1, 10**9))
def test_a_learning_rate_keeps_every_decimal_that_was_written(nano):
    settings = Settings(learn={"learning_rate": nano / 10**9})
    assert settings.to_run_spec(chain_id=1, model=GENESIS, task=TASK).learn.learning_rate_nano == nano


def test_a_value_with_more_decimals_than_a_rule_has_is_refused():
    settings = Settings(learn={"learning_rate": 1.23456789e-5})
    with pytest.raises(ConfigError, match=r"learn\.learning_rate = 1\.23456789e-05 has more than 9 decimals"):
        settings.to_run_spec(chain_id=1, model=GENESIS, task=TASK)


def test_where_a_machine_differs_the_run_stays_the_same():
    ours = load_settings("join").to_run_spec(chain_id=1, model=GENESIS, task=TASK)
    theirs = load_settings("join", overrides={"engine.threads": 3, "network.port": 99, "observe.eval_every": 9})
    assert theirs.to_run_spec(chain_id=1, model=GENESIS, task=TASK).id == ours.id


def test_the_resolved_configuration_is_written_without_secrets_and_reads_back(home):
    options = {
        "home": home,
        "chain.rpc": ("https://user:pass@rpc.example/v3/0123-key?token=hush", "http://192.0.2.3:8545"),
        "wallet.password_file": home / "password",
    }
    settings = load_settings("local", overrides=options, environment={"SWARM_WALLET_PASSWORD": "hush"})
    path = save_resolved(settings)
    text = path.read_text()
    assert path == home / "resolved.yaml"
    assert path.stat().st_mode & 0o777 == 0o600
    assert "hush" not in text
    assert "pass@" not in text
    assert "key" not in text
    body = yaml.safe_load(text)
    assert body["chain"]["rpc"] == ["https://rpc.example/…", "http://192.0.2.3:8545"]
    assert Settings.model_validate(body).game == settings.game


def test_every_setting_has_a_help_text_and_is_listed_for_readers():
    listed = (REPOSITORY / "docs" / "configuration.md").read_text()
    for key, text in known_keys().items():
        assert text.endswith("."), key
        assert f"`{key}`" in listed, key


def test_nobody_reads_the_environment_behind_the_configurations_back():
    tree = ast.parse((REPOSITORY / "swarm" / "settings" / "config.py").read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert "os" not in imported


def test_a_peers_own_file_lies_over_the_homes_and_under_the_environment(home):
    written(home / "config.yaml", "engine: {threads: 2}\nnetwork: {port: 1000}\nrun: {name: shared}\n")
    written(home / "peers" / "2" / "config.yaml", "network: {port: 2000}\nengine: {threads: 3}\n")
    first = load_settings("join", overrides={"home": home}, peer="1")
    second = load_settings("join", overrides={"home": home}, environment={"SWARM_ENGINE__THREADS": "4"}, peer="2")
    assert (first.network.port, first.engine.threads) == (1000, 2)
    assert (second.network.port, second.engine.threads, second.run.name) == (2000, 4, "shared")
    assert load_settings("join", overrides={"home": home}).network.port == 1000


def test_a_peers_own_file_cannot_move_the_home_and_its_mistakes_are_named(home):
    file = written(home / "peers" / "1" / "config.yaml", "home: ./elsewhere\n")
    with pytest.raises(ConfigError, match="home cannot be set for one peer"):
        load_settings("join", overrides={"home": home}, peer="1")
    file.write_text("network: {prt: 1}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings("join", overrides={"home": home}, peer="1")
    assert str(file) in caught.value.what


@pytest.mark.parametrize("tolerated", ["exact", "trl,trl", "mine"])
def test_only_engines_without_exact_results_are_tolerated_each_once(tolerated):
    with pytest.raises(ConfigError, match="tolerated names native, trl"):
        load_settings("local", overrides={"audit.tolerated": tolerated})


def test_a_run_that_tolerates_an_engine_is_another_run():
    chosen = load_settings("local", overrides={"audit.tolerated": "trl", "engine.kind": "trl"})
    assert chosen.audit.tolerated == ("trl",)
