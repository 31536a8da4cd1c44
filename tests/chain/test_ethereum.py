import subprocess
import sys

import pytest

NESTED = 200_000


@pytest.mark.parametrize("first", ["chain.ethereum", "eth_account", "chain.web3_chain", "chain.gate"])
def test_nested_brackets_from_the_network_do_not_end_the_process(first):
    """In a process of its own: the failure is a segmentation fault."""
    program = f"""
import importlib
importlib.import_module({first!r})
import chain.ethereum, eth_account, eth_keyfile, json, msgspec
for parse in (json.loads, msgspec.json.decode, lambda text: msgspec.msgpack.decode(b"\\x91" * len(text))):
    try:
        parse("[" * {NESTED})
    except RecursionError:
        print("refused")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["refused"] * 3), done.stderr[-500:]
