import subprocess
import sys


def test_the_dashboard_loads_neither_torch_nor_hivemind_nor_web3():
    heavy = ("torch", "hivemind", "web3", "transformers", "numpy")
    code = f"import tui.app, sys; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
