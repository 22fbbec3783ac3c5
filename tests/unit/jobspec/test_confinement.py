"""A job.yaml cannot reach outside its drop, name another's compute or identity, or send anyone to an inner address."""

import io
import json
from typing import Any

import pytest

from function_app.azure.ml_mapping import document_of
from function_app.domain.receipt import Status
from function_app.jobspec.problem import InvalidJobSpec
from function_app.jobspec.public_hosts import host_problem, url_problem
from function_app.jobspec.schema import parse_job_json, parse_job_yaml
from function_app.ports.training_service import JobRequest
from tests.unit.simulation import World

INNER = (
    "169.254.169.254",
    "127.0.0.1",
    "10.0.0.4",
    "[::1]",
    "[fd00:ec2::254]",
    "2852039166",
    "0xa9fea9fe",
    "0177.0.0.1",
    "127.1",
    "localhost",
    "metadata",
    "metadata.google.internal",
    "server.local",
    "registry.corp",
    "1.0.0.127.in-addr.arpa",
    "a..example.com",
    "-a.example.com",
    "xn--.",
    "",
)
PUBLIC = ("mcr.microsoft.com", "kedja.azurecr.io", "xn--bcher-kva.example.com", "Pypi.Example.ORG.")


def refused(key: str, value: object) -> str:
    """Return why a spec with this key is refused; a dotted key is nested."""
    spec: Any = value
    for part in reversed(key.split(".")):
        spec = {part: spec}
    with pytest.raises(InvalidJobSpec) as caught:
        parse_job_json(spec)
    return str(caught.value)


OUTSIDE = [
    "..",
    "../other",
    "a/../../other",
    "/etc",
    "~/x",
    "~root/x",
    "C:/x",
    "..\\other",
    "file:///etc",
    "https://example.com/x",
    "azureml://datastores/kedja_data/paths/other/",
    "azureml:code:1",
    "/subscriptions/s/resourceGroups/g",
    "a${{inputs.data}}",
    "a\nb",
    "",
]


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize(
    "key", ["code", "kedja.entry_script", "kedja.requirements", "kedja.register.path", "environment"]
)
def test_a_path_leads_out_of_the_drop(key: str, path: str) -> None:
    value = {"image": "kedja.azurecr.io/x", "conda_file": path} if key == "environment" else path
    assert key in refused(key, value)


@pytest.mark.parametrize("key", ["path", "datastore", "path_on_compute"])
@pytest.mark.parametrize("name", ["data", "scripts"])
def test_an_input_names_its_own_place(name: str, key: str) -> None:
    assert "a job reads only its drop" in refused(f"inputs.{name}", {key: "azureml://datastores/x/paths/y"})


def test_an_input_of_its_own_is_a_folder() -> None:
    assert "inputs.other" in refused("inputs.other", {"type": "uri_folder"})


@pytest.mark.parametrize("key", ["path", "name", "version"])
def test_an_output_names_its_place(key: str) -> None:
    assert "Kedja decides where" in refused("outputs.model", {key: "azureml://datastores/x/paths/y"})


@pytest.mark.parametrize(
    "compute",
    [
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/computes/c",
        "azureml:/subscriptions/s/computes/c",
        "azureml://registries/r/computes/c",
        "other-workspace/gpu",
        "azureml:azureml:gpu",
        "local",
        "Serverless",
        "https://example.com",
        "gpu cluster",
        "${{inputs.a}}",
    ],
)
def test_a_compute_of_another_place(compute: str) -> None:
    assert "compute" in refused("compute", compute)


def test_a_compute_that_the_workspace_has_not(world: World) -> None:
    world.drop("scripts/digits/job.yaml", b"compute: someone-elses\n")
    world.drop_digits()
    world.rest()
    assert world.receipt().status is Status.REJECTED
    assert '"someone-elses" does not exist' in (world.receipt().reason or "")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("identity", {"type": "user_identity"}),
        ("identity", {"type": "managed", "client_id": "0"}),
        ("services", {"ssh": {"type": "ssh"}}),
        ("resources.docker_args", "--privileged -v /:/host"),
        ("resources.instance_type", "big"),
        ("properties", {"x": "y"}),
        ("component", "azureml:c:1"),
        ("parent_job_name", "other"),
        ("name", "other-job"),
        ("tags.kedja_receipt", "other/drop"),
        ("environment.build", {"path": "."}),
        ("environment.datastore", "x"),
        ("environment_variables.MLFLOW_TRACKING_URI", "https://example.com"),
        ("environment_variables.KEDJA_DATA", "/"),
        ("environment_variables.AZUREML_RUN_ID", "other"),
    ],
)
def test_what_is_the_services_own(key: str, value: object) -> None:
    assert key.rpartition(".")[0] in refused(key, value)


@pytest.mark.parametrize(
    "name",
    [
        "azureml://registries/r/environments/e/versions/1",
        "azureml:/subscriptions/s/environments/e:1",
        "azureml:e",
        "file:e",
    ],
)
def test_an_environment_of_another_place(name: str) -> None:
    assert "environment" in refused("environment", name)


# Addresses.


@pytest.mark.parametrize("host", INNER)
def test_an_inner_host_is_refused(host: str) -> None:
    assert host_problem(host)
    assert url_problem(f"https://{host}/x")


@pytest.mark.parametrize("host", PUBLIC)
def test_a_public_host_is_fine(host: str) -> None:
    assert host_problem(host) is None
    assert url_problem(f"https://{host}/x?y#z") is None


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/x",
        "ftp://example.com/x",
        "file:///etc/passwd",
        "https://user@example.com/",
        "https://user:secret@example.com/",
        "https://example.com:8443/",
        "https://example.com:port/",
        "https://example.com\\@169.254.169.254/",
        "https://[::1/",
        "//example.com/x",
        "gopher://example.com",
        "javascript:x",
    ],
)
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    assert url_problem(url)


@pytest.mark.parametrize(
    "image",
    [
        "169.254.169.254/x",
        "127.0.0.1:5000/x",
        "localhost/x",
        "localhost:5000/x",
        "registry:5000/x",
        "mcr.microsoft.com:80/x",
    ],
)
def test_an_image_of_an_inner_registry(image: str) -> None:
    assert "the registry" in refused("environment.image", image)


@pytest.mark.parametrize(
    "image", ["https://mcr.microsoft.com/x", "x y", "x@sha256:0", "../x", "$(x)", "user@example.com/x"]
)
def test_what_is_no_image(image: str) -> None:
    assert "environment.image" in refused("environment.image", image)


@pytest.mark.parametrize(
    "image", ["python:3.13", "library/python", "kedja.azurecr.io/a/b:1", "mcr.microsoft.com/azureml/x"]
)
def test_an_image_of_a_public_registry(image: str) -> None:
    assert parse_job_json({"environment": {"image": image}})


PIP_REFUSED = [
    "-r requirements.txt",
    "-c constraints.txt",
    "-e .",
    "--editable=.",
    "--trusted-host example.com",
    "--config-settings x",
    "--index-url http://example.com/simple",
    "--index-url=https://169.254.169.254/simple",
    "-i https://user:secret@example.com/simple",
    "--extra-index-url https://localhost/simple",
    "-f file:///wheels",
    "--find-links /wheels",
    "./wheel.whl",
    "/wheels/x.whl",
    "wheels/x.whl",
    "~/x.whl",
    "C:\\x.whl",
    "x @ file:///x.whl",
    "x @ http://example.com/x.whl",
    "x @ git+ssh://git@example.com/x",
    "git+https://169.254.169.254/x",
    "https://10.0.0.4/x.whl",
    "x[a] @ https://metadata/x.whl ; python_version > '3'",
    "x==1 --hash=${SECRET}",
    "x @ https://example.com/${TOKEN}/x.whl",
    "--pre --index-url http://169.254.169.254/x",
    "--pre -r /etc/passwd",
    "--pre=x",
    "--index-url https://packages.example.com/simple --extra-index-url http://10.0.0.4/",
    "--index-url=https://packages.example.com/simple -r /etc/passwd",
    "--index-url",
    "--index-url 'https://packages.example.com/simple'",
    "--index-url https://example.com/$TOKEN/simple",
    "--no-binary :all: -f http://10.0.0.4/",
    "--no-binary --index-url=http://10.0.0.4/",
    "--no-binary",
    "numpy --index-url http://10.0.0.4/",
    "x @",
    "./x @ https://example.com/x.whl",
    "numpy \\",
    "--pre \\",
    "numpy\v--index-url http://10.0.0.4/",
    "numpy\u2028-r /etc/passwd",
    "https://example.com;@169.254.169.254/x.whl",
    "https://example.com/x;@http://10.0.0.4/x.whl https://10.0.0.4/x",
]


@pytest.mark.parametrize("line", PIP_REFUSED)
def test_a_line_of_pips_that_reaches_elsewhere(line: str) -> None:
    environment = {"image": "kedja.azurecr.io/x", "conda_file": {"dependencies": [{"pip": [line]}]}}
    assert "conda_file.dependencies" in refused("environment", environment)


@pytest.mark.parametrize(
    "line",
    [
        "chainer==7.8.1",
        "x[a,b]>=1,<2 ; python_version < '4'",
        "x @ https://example.com/x.whl",
        "x @ git+https://github.com/a/b@main",
        "--extra-index-url https://download.example.org/whl/cu124",
        "--no-binary=:all:",
        "--no-binary :all:",
        "--index-url=https://packages.example.com/simple",
        "--pre",
        "--pre  # releases",
        "numpy  # of any version",
        "x @ https://example.com/x.whl ; python_version > '3'",
        "x @ https://example.com/x.whl; python_version > '3'",
        "x@https://example.com/x.whl#sha256=0",
        "git+https://github.com/a/b@main",
    ],
)
def test_a_line_of_pips_that_is_fine(line: str) -> None:
    environment = {"image": "kedja.azurecr.io/x", "conda_file": {"dependencies": ["pip", {"pip": [line]}]}}
    assert parse_job_json({"environment": environment})


@pytest.mark.parametrize(
    "conda",
    [
        {"channels": ["http://example.com/c"], "dependencies": ["x"]},
        {"channels": ["file:///c"], "dependencies": ["x"]},
        {"channels": ["/c"], "dependencies": ["x"]},
        {"channels": ["https://169.254.169.254/c"], "dependencies": ["x"]},
        {"channels": ["../c"], "dependencies": ["x"]},
        {"dependencies": ["https://127.0.0.1/c::x"]},
        {"dependencies": ["https://127.0.0.1/x.conda"]},
        {"dependencies": ["file:///x.conda"]},
        {"channels": ["https://example.com/$TOKEN/c"], "dependencies": ["x"]},
        {"dependencies": ["conda-forge::numpy[channel=http://10.0.0.4/x]"]},
        {"dependencies": ["conda-forge::numpy[url=http://10.0.0.4/x.conda]"]},
        {"dependencies": ["conda-forge::numpy=http://10.0.0.4/x"]},
        {"dependencies": ["conda-forge::https://10.0.0.4/c::numpy"]},
        {"dependencies": ["numpy[channel=//10.0.0.4/x]"]},
        {"dependencies": ["//10.0.0.4/c:ns:numpy"]},
        {"dependencies": ["./numpy.conda"]},
        {"dependencies": ["numpy=$VERSION"]},
    ],
)
def test_a_conda_channel_or_package_of_elsewhere(conda: dict[str, Any]) -> None:
    assert "conda_file" in refused("environment", {"image": "kedja.azurecr.io/x", "conda_file": conda})


def test_a_conda_file_of_public_channels_is_fine() -> None:
    conda = {
        "channels": ["conda-forge", "pytorch/label/test", "https://conda.example.com/channel"],
        "dependencies": ["python=3.13", "conda-forge::numpy>=2", "x=1=py313_0", "y >=1,<2|3.*", "z!=1.0"],
    }
    assert parse_job_json({"environment": {"image": "kedja.azurecr.io/x", "conda_file": conda}})


@pytest.mark.filterwarnings("ignore::marshmallow.warnings.Marshmallow4Warning")
def test_text_that_looks_like_an_address_stays_text() -> None:
    """A literal input goes to the script as it is: neither Azure ML's library nor Azure ML looks it up."""
    from azure.ai.ml import load_job  # noqa: PLC0415 - slow to import

    texts = {
        "a": "azureml://datastores/other/paths/x",
        "b": "https://169.254.169.254/x",
        "c": "azureml:a:1",
        "d": "/etc",
    }
    assert parse_job_json({"inputs": texts}).code_keys() == tuple(f"inputs.{name}" for name in texts)
    document = {"type": "command", "command": "echo ${{inputs.a}}", "inputs": texts, "environment": "azureml:x:1"}
    code = (
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/codes/c/versions/1"
    )
    loaded = load_job(io.StringIO(json.dumps(document_of(JobRequest(name="j", document=document), code))))
    sent = loaded._to_rest_object()["inputs"]
    assert sent == {name: {"value": text, "job_input_type": "literal"} for name, text in texts.items()}


@pytest.mark.parametrize(
    "text", ["!!python/object/apply:os.system [id]", "a: &a [*a]", "? {a: b} : c", "%YAML 9\n---\n{}"]
)
def test_yaml_that_makes_objects_or_refers_to_itself(text: str) -> None:
    with pytest.raises(InvalidJobSpec):
        parse_job_yaml(text)
