import hashlib
import shutil

from protocol.codec import content_id_of
from swarm.policy.base_files import base_id


def test_the_id_is_that_of_the_documented_list(tmp_path):
    for name, content in (("config.json", b"{}"), ("tokenizer.json", b"[]"), ("README.md", b"words")):
        (tmp_path / name).write_bytes(content)
    rows = tuple(
        (name, hashlib.sha256(raw).digest()) for name, raw in (("config.json", b"{}"), ("tokenizer.json", b"[]"))
    )
    assert base_id(str(tmp_path), True) == content_id_of(("rl-swarm/base/1", rows))


def test_another_chat_template_is_another_run_but_other_weights_are_not(model_directory, tmp_path):
    copy = shutil.copytree(model_directory, tmp_path / "copy")
    before = base_id(str(model_directory), True)
    assert base_id(str(copy), True) == before
    (copy / "model.safetensors").write_bytes(b"")
    assert base_id(str(copy), True) == before
    (copy / "chat_template.jinja").write_text("{{ messages }}")
    assert base_id(str(copy), True) != before


def test_a_hub_name_is_looked_up_among_downloaded_files_only():
    assert base_id("nobody/has-this-model", False) == content_id_of(("rl-swarm/base/1", ()))
