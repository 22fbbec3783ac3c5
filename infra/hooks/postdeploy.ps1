# What postdeploy.sh does, on Windows.
$ErrorActionPreference = 'Stop'
$PSNativeCommandUseErrorActionPreference = $true
$folder = '.venv-release'
$ready = "$folder/.ready"
if (-not (Test-Path $ready) -or (Get-FileHash $ready).Hash -ne (Get-FileHash requirements.txt).Hash) {
    if ($env:KEDJA_PYTHON) { & $env:KEDJA_PYTHON -m venv --clear $folder } else { py -3.13 -m venv --clear $folder }
    & "$folder/Scripts/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
    Copy-Item requirements.txt $ready
}
& "$folder/Scripts/python" -m infra.hooks.release
