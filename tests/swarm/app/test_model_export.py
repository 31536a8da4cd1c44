"""A trained peer's model leaves the swarm in files that plain libraries load, with a card, and to a hub when asked."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
import torch

from protocol import events as e
from protocol.errors import ConfigError, NetworkError
from protocol.ids import ContentId, PeerId
from protocol.messages import Finding
from protocol.run import JoinToken, RunContracts
from swarm.app import hub
from swarm.cli import execute
from swarm.member.checkpoint import Checkpoints
from swarm.observe.eventlog import EventLog
from swarm.policy.native import NativeEngine
from swarm.settings.config import load_settings
from swarm.settings.home import Home
from swarm.settings.joining import write_join_file
from tests.swarm.app.conftest import TASK
from tests.swarm.policy.conftest import make_model_directory
from tests.swarm.policy.test_lora import learn

CONTENT, OTHER, ME = ContentId("c0" * 32), PeerId("16Uiu2HAmOther"), PeerId("16Uiu2HAmMe")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model_directory(tmp_path_factory.mktemp("export") / "model")


def trained(home, model, rank):
    """A peer's home after one included round; its engine."""
    settings = load_settings("local", overrides={"learn.learning_rate": 0.01})
    rules = settings.to_run_spec(chain_id=31337, model=ContentId("0" * 64), task=TASK, lora_rank=rank).learn
    engine = NativeEngine.open(model, rules)
    spec = settings.to_run_spec(chain_id=31337, model=engine.state_hash(), task=TASK, lora_rank=rank)
    zero = "0x" + "00" * 20
    contracts = RunContracts(*([zero] * len(RunContracts.__struct_fields__)))
    write_join_file(Home(home).join_file, JoinToken(spec, contracts, (), ("http://127.0.0.1:1",), str(model)))
    learn(engine)
    learn(engine)
    states = Checkpoints(Home(home).peer("1").run(spec.id).states)
    states.include(states.save(engine), 7)
    with EventLog(Home(home).peer("1").events_file) as log:
        log.append(e.PeerStarted("name", ME, zero, str(home), "m", "exact", "0", 1))
        log.append(e.ContributionSigned(7, CONTENT))
        log.append(e.VerdictSeen(7, ME, CONTENT, OTHER, 2, Finding.MATCH, ""))
        log.append(e.RoundSettled(7, ContentId("1" * 64), ContentId("2" * 64), (CONTENT,), {ME: 5}, None))
        log.append(e.Evaluated(0, 100, 20, 1.0))
        log.append(e.Evaluated(7, 100, 31, 1.0))
    return engine


def logits_of(model, ids=(5, 9, 70)):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits


@pytest.mark.parametrize("rank", [4, 0])
def test_a_merged_model_loads_with_transformers_and_computes_the_same(tmp_path, model, rank, capsys):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    engine = trained(tmp_path / "home", model, rank)
    to = tmp_path / "out"
    assert execute(["export-model", str(to), "--merged", "--home", str(tmp_path / "home"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["export_model"]
    assert (told["state"], told["round"], told["pushed"]) == (engine.state_hash(), 7, None)
    plain, first = (AutoModelForCausalLM.from_pretrained(where, dtype=torch.float32) for where in (to, model))
    engine.loaded.model.set_attn_implementation("sdpa")
    expected = logits_of(engine.loaded.model)
    assert torch.allclose(logits_of(plain), expected, atol=1e-4)
    assert not torch.allclose(logits_of(first), expected, atol=1e-4)
    assert AutoTokenizer.from_pretrained(to).encode("12+3") == AutoTokenizer.from_pretrained(model).encode("12+3")


def test_adapters_load_with_peft_and_compute_the_same(tmp_path, model):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    engine = trained(tmp_path / "home", model, 4)
    to = tmp_path / "out"
    assert execute(["export-model", str(to), "--home", str(tmp_path / "home")]) == 0
    assert json.loads((to / "adapter_config.json").read_text())["base_model_name_or_path"] == str(model)
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    plain = PeftModel.from_pretrained(base, str(to))
    engine.loaded.model.set_attn_implementation("sdpa")
    assert torch.allclose(logits_of(plain), logits_of(engine.loaded.model), atol=1e-4)
    first = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    assert not torch.allclose(logits_of(plain), logits_of(first), atol=1e-4)


def test_the_card_cites_rounds_state_and_audits(tmp_path, model):
    engine = trained(tmp_path / "home", model, 4)
    execute(["export-model", str(tmp_path / "out"), "--home", str(tmp_path / "home")])
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"| this state | `{engine.state_hash()}` |" in card
    assert "| included in round | 7 |" in card
    assert f"| 7 | `{CONTENT}` | `{OTHER}` | 2 | match |" in card
    assert "20.0 % before (round 0), 31.0 % after round 7" in card
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert (record["settled"], record["audits"][0]["level"], record["lora_rank"]) == ([7], 2, 4)


def test_nothing_is_overwritten_and_a_peer_without_a_state_is_told(tmp_path, model, capfd):
    trained(tmp_path / "home", model, 0)
    home = ["--home", str(tmp_path / "home")]
    (tmp_path / "there").mkdir()
    assert execute(["export-model", str(tmp_path / "there"), *home]) == ConfigError.exit_code
    assert execute(["export-model", str(tmp_path / "out"), "--peer", "2", *home]) == ConfigError.exit_code
    assert "no included state" in capfd.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "there"]


def test_another_model_than_the_runs_is_refused(tmp_path, model):
    trained(tmp_path / "home", model, 4)
    other = make_model_directory(tmp_path / "other", extra_rows=6)
    told = ["export-model", str(tmp_path / "out"), "--home", str(tmp_path / "home"), "--model", str(other)]
    assert execute(told) == ConfigError.exit_code
    assert not (tmp_path / "out").exists()


# --- the hub ---------------------------------------------------------------------------------------------------------


class FakeHub(ThreadingHTTPServer):
    """As much of the hub's protocol as an upload of small files takes. ``status``, where set, answers everything."""

    def __init__(self, status: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.files, self.tokens, self.made = status, [], set(), []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def _answer(self, body: object, status: int = 200) -> None:
        raw = json.dumps(body).encode()
        self.send_response(self.server.status or status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self) -> None:
        self._answer({"id": "ada/model", "sha": "0" * 40, "siblings": [], "private": True})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.tokens.add(self.headers.get("Authorization"))
        if self.path.endswith("/repos/create"):
            self.server.made.append(json.loads(raw))
            self._answer({"url": f"{self.server.url}/ada/model", "id": "1"})
        elif "/preupload/" in self.path:
            wanted = json.loads(raw)["files"]
            self._answer(
                {"files": [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in wanted]}
            )
        elif "/commit/" in self.path:
            rows = [json.loads(line) for line in raw.splitlines() if line]
            self.server.files += [row["value"]["path"] for row in rows if row["key"] == "file"]
            commit = "1" * 40
            where = f"{self.server.url}/ada/model/commit/{commit}"
            self._answer({"commitUrl": where, "commitOid": commit, "pullRequestUrl": None})
        else:
            self._answer({})

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    (made / "README.md").write_text("# A model\n")
    (made / "adapter_model.safetensors").write_bytes(b"12345678")
    return made


def test_a_model_is_pushed_with_the_token_and_kept_private(folder):
    server = FakeHub()
    assert hub.push(folder, "ada/model", "hf_secret", private=True, endpoint=server.url) == f"{server.url}/ada/model"
    assert sorted(server.files) == ["README.md", "adapter_model.safetensors"]
    assert server.tokens == {"Bearer hf_secret"}
    assert server.made[0]["name"] == "model"
    assert server.made[0].get("private") is True or server.made[0].get("visibility") == "private"
    server.shutdown()


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, ConfigError, "refused the token"),
        (403, ConfigError, "refused the token"),
        (404, ConfigError, "refused ada"),
        (500, NetworkError, "The hub failed"),
    ],
)
def test_a_hub_that_refuses_is_told_in_words(folder, status, error, words):
    server = FakeHub(status)
    with pytest.raises(error, match=words) as caught:
        hub.push(folder, "ada/model", "hf_secret", private=True, endpoint=server.url)
    assert "hf_secret" not in str(caught.value)
    server.shutdown()


def test_a_hub_that_is_away_and_a_bad_name_are_told_in_words(folder):
    with pytest.raises(NetworkError, match="hub"):
        hub.push(folder, "ada/model", "hf_secret", private=True, endpoint="http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="no name of a repository"):
        hub.push(folder, "..//x y", "hf_secret", private=True, endpoint="http://127.0.0.1:9")


def test_the_token_comes_from_a_file_or_the_environment(tmp_path):
    file = tmp_path / "token"
    file.write_text("hf_of_file\n")
    assert hub.read_token(file, {}) == "hf_of_file"
    assert hub.read_token(None, {"HF_TOKEN": "hf_of_env"}) == "hf_of_env"
    assert hub.read_token(file, {"HF_TOKEN": "hf_of_env"}) == "hf_of_file"
    for environment in ({}, {"HF_TOKEN": ""}, {"HF_TOKEN": "two words"}):
        with pytest.raises(ConfigError, match="no token for the hub"):
            hub.read_token(None, environment)
    with pytest.raises(ConfigError, match="cannot be read"):
        hub.read_token(tmp_path / "nowhere", {})


def test_a_push_without_a_token_writes_nothing(tmp_path, model, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    trained(tmp_path / "home", model, 4)
    told = ["export-model", str(tmp_path / "out"), "--home", str(tmp_path / "home"), "--push", "ada/model"]
    assert execute(told) == ConfigError.exit_code
    assert not (tmp_path / "out").exists()


def test_records_are_read_back(tmp_path, model):
    from swarm.app.model_export import Record

    trained(tmp_path / "home", model, 4)
    execute(["export-model", str(tmp_path / "out"), "--home", str(tmp_path / "home")])
    assert msgspec.json.decode((tmp_path / "out" / "record.json").read_bytes(), type=Record).round == 7
