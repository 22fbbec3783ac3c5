# What postdeploy.sh does, on Windows.
$ErrorActionPreference = 'Stop'
$PSNativeCommandUseErrorActionPreference = $true
$folder = '.azure/release-tools'
if (-not (Test-Path $folder)) {
    if ($env:KEDJA_PYTHON) { & $env:KEDJA_PYTHON -m venv $folder } else { py -3.13 -m venv $folder }
}
& "$folder/Scripts/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
& "$folder/Scripts/python" -m infra.hooks.release
