"""A setting keeps the place it was written in, through every layer that is laid over it."""

import pytest

from swarm.settings.layers import Layers, nearest, read_layers

KNOWN = ("home", "run.seed", "run.name", "game.samples")


def test_the_upper_layer_wins_key_by_key_and_keeps_its_source():
    lower = Layers({"run.seed": (1, "a file"), "run.name": ("old", "a file")})
    both = lower.over(Layers({"run.seed": (2, "an option")}))
    assert both.nested() == {"run": {"seed": 2, "name": "old"}}
    assert both.source_of("run.seed") == "an option"
    assert both.source_of("run.name") == "a file"
    assert both.source_of("run") == "an option, a file"
    assert both.source_of("game.samples") == "built-in defaults"


def test_a_key_without_a_section_stands_beside_the_sections():
    assert Layers.of_options({"home": "/x", "run.seed": 1}, KNOWN).nested() == {"home": "/x", "run": {"seed": 1}}


def test_an_option_behind_which_there_is_no_setting_is_an_error_in_the_program():
    with pytest.raises(AssertionError, match="no such settings"):
        Layers.of_options({"run.sed": 1}, KNOWN)


def test_only_our_variables_are_read():
    layers = Layers.of_environment({"SWARM_RUN__NAME": "x", "HOME": "/root", "SWARMING": "1"}, KNOWN)
    assert layers.values == {"run.name": ("x", "environment variable SWARM_RUN__NAME")}


def test_later_files_are_laid_over_earlier_ones(tmp_path):
    (tmp_path / "a.yaml").write_text("run: {seed: 1, name: a}")
    (tmp_path / "b.yaml").write_text("run: {seed: 2}")
    layers = read_layers([tmp_path / "a.yaml", tmp_path / "b.yaml"], KNOWN)
    assert layers.nested() == {"run": {"seed": 2, "name": "a"}}
    assert layers.source_of("run.seed") == str(tmp_path / "b.yaml")


def test_a_name_like_no_other_gets_no_proposal():
    assert nearest("run.sead", KNOWN) == "Did you mean run.seed?"
    assert nearest("xyzzy", KNOWN) == ""
