#!/bin/sh
# Starts a private swarm on this machine: ./run_swarm.sh   (the first run prepares .venv, later ones start at once)
#   ./run_swarm.sh test        runs the tests
#   ./run_swarm.sh COMMAND …   runs `swarm COMMAND …`; options alone go to `swarm local`
# Finds a Python and hands over to packaging/setup_env.py. SWARM_PYTHON=/path/to/python chooses one.
set -u

script=$0
while [ -L "$script" ]; do
    folder=$(CDPATH='' cd -P -- "$(dirname -- "$script")" && pwd)
    script=$(readlink -- "$script")
    case $script in /*) ;; *) script=$folder/$script ;; esac
done
here=$(CDPATH='' cd -P -- "$(dirname -- "$script")" && pwd)

try() { # try PYTHON MODULES COMMAND...: replaces this process when PYTHON fits and has MODULES
    python=$1 modules=$2
    shift 2
    "$python" -I -c "import sys, $modules; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))" \
        >/dev/null 2>&1 && exec "$python" -I "$here/packaging/setup_env.py" "$@"
}

if [ -n "${SWARM_PYTHON:-}" ]; then
    try "$SWARM_PYTHON" sys "$@"
    found="SWARM_PYTHON=$SWARM_PYTHON is not a working Python 3.11, 3.12 or 3.13."
else
    # The one already in use first, then the most tested. A second pass takes one without venv, to say so.
    for modules in venv,ensurepip sys; do
        for python in "$here/.venv/bin/python" python3.11 python3.12 python3.13 python3 python; do
            try "$python" "$modules" "$@"
        done
    done
    found="No Python 3.11, 3.12 or 3.13 was found on this machine."
fi
echo "run_swarm.sh: $found Nothing was installed or started." >&2
echo "Install one (python.org, your package manager, or pyenv), or name one: SWARM_PYTHON=/path/to/python3.12 $0" >&2
exit 2
