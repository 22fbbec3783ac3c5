#!/bin/sh
# After azd has deployed the app: register what jobs run, tell the app, and drop something to see that it works.
# KEDJA_PYTHON names a Python 3.13 that is not on the path as python3.13; KEDJA_SMOKE_DROP=false leaves the drop out.
set -eu
folder=.venv-release
# Written last: an installation that was cut off, or is of other requirements, begins anew.
if ! cmp -s requirements.txt "$folder/.ready"; then
    "${KEDJA_PYTHON:-python3.13}" -m venv --clear "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
    cp requirements.txt "$folder/.ready"
fi
exec "$folder/bin/python" -m infra.hooks.release
