import json

import pytest

from function_app.jobspec.kedja_block import GateConditions
from function_app.jobspec.problem import InvalidJobSpec, SpecProblem
from function_app.jobspec.schema import JobSpec, parse_job_json, parse_job_yaml

SWEEP = """
type: sweep
trial: {command: "python t.py --lr ${{search_space.lr}}", environment: azureml:chainer@latest}
search_space:
  lr: {type: loguniform, min_value: -6.9, max_value: -2}
  unit: {type: choice, values: [100, 500]}
objective: {goal: maximize, primary_metric: accuracy}
limits: {max_total_trials: 4}
"""


def refusals(text: str) -> list[str]:
    with pytest.raises(InvalidJobSpec) as caught:
        parse_job_yaml(text)
    assert all(isinstance(problem, SpecProblem) and problem.line for problem in caught.value.problems)
    return [str(problem) for problem in caught.value.problems]


def test_the_seed_of_the_design_is_read() -> None:
    spec = parse_job_yaml("""
kedja:
  entry_script: train.py
  arguments: {epochs: 10, batchsize: 128, output_dir: ./outputs}
  register:
    model: chainer-dnn-mnist
    path: ./outputs/model.npz
    when: {metric: accuracy, goal: maximize, at_least: 0.95, better_than: champion}
  data: required
  drop: {wait_for: _SUCCESS, supersede: true, max_wait: 1800}
""")
    assert spec.kedja.entry_script == "train.py"
    assert spec.kedja.arguments == {"epochs": 10, "batchsize": 128, "output_dir": "./outputs"}
    assert spec.kedja.registration.path == "outputs/model.npz"
    assert spec.kedja.registration.when == GateConditions(
        metric="accuracy", goal="maximize", at_least=0.95, better_than="champion"
    )
    assert spec.kedja.drop.wait_for == "_SUCCESS"
    assert spec.needs_data


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "kedja:\n", "kedja: {register: {when: }}\ntags:\n"])
def test_an_empty_file_asks_for_every_default(text: str) -> None:
    assert parse_job_yaml(text) == JobSpec()
    assert parse_job_yaml(text).canonical() == "{}"


def test_a_misspelt_key_names_line_column_and_what_is_allowed() -> None:
    assert refusals("kedja:\n  register:\n    when:\n      metric: a\n      at_leest: 0.9\n") == [
        (
            "line 5, column 7: kedja.register.when.at_leest: unknown key; did you mean at_least? "
            "Allowed: at_least, at_most, better_than, goal, metric"
        )
    ]


def test_every_problem_is_told_in_the_order_of_the_file() -> None:
    assert refusals("compute: local\nlimits: {timeout: '10'}\nkedja: {data: nune, x: 1}\ncode: ../up\n") == [
        (
            'line 1, column 1: compute: "local" is refused: a job runs on a cluster, not on the service\'s machine '
            "and not serverless"
        ),
        'line 2, column 10: limits.timeout: expected a whole number, found "10"; remove the quotes',
        'line 3, column 9: kedja.data: "nune" is not allowed; did you mean none? Allowed: required, none',
        (
            "line 3, column 21: kedja.x: unknown key. "
            "Allowed: allow_pickle, arguments, data, drop, entry_script, export, register, requirements"
        ),
        'line 4, column 1: code: "../up" leads outside the drop; give a path inside the drop, such as src/train.py',
    ]


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("limits: {timeout: true}", "limits.timeout", "expected a whole number, found true"),
        ("limits: {timeout: 1.5}", "limits.timeout", "expected a whole number, found 1.5"),
        ("limits: {timeout: 0}", "limits.timeout", "must be greater than or equal to 1, found 0"),
        ("limits: [1]", "limits", "expected a mapping (key: value), found a list"),
        ("command: 3", "command", "expected text, found 3"),
        ("kedja: {drop: {supersede: 1}}", "kedja.drop.supersede", "expected true or false, found 1"),
        (
            "kedja: {register: {when: {metric: a, at_least: 1e-3}}}",
            "kedja.register.when.at_least",
            'found "1e-3"; YAML reads this as text, so write it with a decimal point, such as 1.0e-3',
        ),
        ("kedja: {register: {when: {metric: a}}}", "kedja.register.when", "needs at_least, at_most or better_than"),
        ("kedja: {register: {when: {at_least: 1}}}", "kedja.register.when.metric", "is required, but missing"),
        (
            "kedja: {register: {when: {metric: a, better_than: champion}}}",
            "kedja.register.when.better_than",
            "also needs goal: maximize or goal: minimize",
        ),
        ("kedja: {register: {path: model.npz}}", "kedja.register.path", '"model.npz" is not below outputs/'),
        (
            "kedja: {entry_script: run.sh}",
            "kedja.entry_script",
            "is not a Python file (.py) or a notebook (.ipynb)",
        ),
        (
            "kedja: {requirements: Pipfile}",
            "kedja.requirements",
            '"Pipfile" lists no packages; give a requirements file',
        ),
        ("kedja: {arguments: {x: []}}", "kedja.arguments.x", "is an empty list; give a value, or omit the key"),
        ("kedja: {arguments: {x: [true]}}", "kedja.arguments.x", "contains true or false in a list"),
        ("kedja: {arguments: {x: {}}}", "kedja.arguments.x", "expected a number, text, true, false or a list"),
        ("kedja: {arguments: {x: [" + "1," * 1001 + "]}}", "kedja.arguments.x", "a list of more than 1000 values"),
        ("kedja: {arguments: {x: " + "y" * 4097 + "}}", "kedja.arguments.x", "a text of more than 4096 characters"),
        ("kedja: {arguments: {'a b': 1}}", 'kedja.arguments."a b"', "is not the name of an option"),
        ("tags: {kedja_receipt: x}", "tags.kedja_receipt", "names that begin with kedja_ are reserved"),
        ("tags: {" + "a" * 101 + ": x}", "tags." + '"' + "a" * 80 + '"', "at most 100"),
        ("tags: {" + ", ".join(f"a{n}: x" for n in range(49)) + "}", "tags", "at most 48"),
        ("tags: {a: }", "tags.a", "is empty; give it a value, or omit the key"),
        ("tags: {a: [1]}", "tags.a", "expected text, found a list"),
        ("environment_variables: {KEDJA_DATA: /}", "environment_variables.KEDJA_DATA", "is set by the service"),
        ("environment: chainer", "environment", '"chainer" is not an environment: azureml:<name>:<version>'),
        ("environment: {conda_file: c.yml}", "environment.image", "is required, but missing"),
        ("environment: {image: 'http://x/y'}", "environment.image", "is not the name of a container image"),
        ("environment: {image: x, build: {path: .}}", "environment.build", "is refused: Kedja does not build images"),
        (
            "environment: {image: x, conda_file: {dependencies: [a, {pip: [b, 3]}]}}",
            "environment.conda_file.dependencies[1].pip[1]",
            "expected text, found 3",
        ),
        ("compute: serverless", "compute", "is refused: a job runs on a cluster"),
        ("compute: azureml:Local", "compute", "is refused: a job runs on a cluster"),
        ("compute: a/b", "compute", '"a/b" is not the name of a compute'),
        ("compute: azureml:/subscriptions/x", "compute", "is not the name of a compute"),
        ("name: x", "name", "is refused: Kedja names jobs"),
        ("identity: {type: managed}", "identity", "is refused: jobs run as the cluster's identity"),
        ("services: {}", "services", "is refused: a job gives no access to its node"),
        ("resources: {docker_args: --privileged}", "resources.docker_args", "is refused: it would reach outside"),
        ("resources: {shm_size: 8 GB}", "resources.shm_size", "is not a size such as 8g"),
        ("distribution: {type: ray}", "distribution.type", '"ray" is not allowed. Allowed: mpi, pytorch, tensorflow'),
        ("distribution: mpi", "distribution", 'expected a mapping (key: value), found "mpi"'),
        ("distribution: {}", "distribution.type", "is required, but missing"),
        ("command: ''", "command", "is too short; it must have at least 1"),
        ("distribution: {type: mpi, worker_count: 1}", "distribution.worker_count", "unknown key. Allowed: process_"),
        (
            "inputs: {x: {path: 'azureml://datastores/a/paths/b'}}",
            "inputs.x.path",
            "is refused: a job reads only its drop",
        ),
        ("inputs: {x: {type: uri_folder}}", "inputs.x", "must be a number, text, true or false"),
        ("inputs: {data: {path: a}}", "inputs.data.path", "is refused: a job reads only its drop"),
        ("inputs: {data: abc}", "inputs.data", "is Kedja's own input"),
        ("inputs: {data: {mode: direct}}", "inputs.data.mode", '"direct" is not allowed'),
        ("inputs: {x: '$(id)'}", "inputs.x", '"$(id)" contains "$"'),
        ("inputs: {x-y: 1}", "inputs.x-y", "is not a name of letters, digits and underscores"),
        ("outputs: {m: {path: 'azureml://x'}}", "outputs.m.path", "is refused: Kedja decides where outputs are kept"),
        ("outputs: {m: {mode: direct}}", "outputs.m.mode", '"direct" is not allowed'),
        ("command: 'cat ${{inputs.nope}}'", "command", "does not exist; inputs has: data, scripts"),
        ("command: 'cat ${{secrets.x}}'", "command", "${{secrets.x}} is not ${{inputs.…}}"),
        ("kedja: {data: none, arguments: {d: '${{inputs.data}}'}}", "kedja.arguments.d", "inputs has: scripts"),
        ("kedja: {export: {onnx: always}}", "kedja.export.onnx", '"always" is not allowed'),
        ("kedja: {export: {parity: {rtol: 2}}}", "kedja.export.parity.rtol", "2"),
        ("kedja: {export: {parity: {atol: .nan}}}", "kedja.export.parity.atol", "must be a finite number"),
        ("kedja: {export: {parity: {samples: 0}}}", "kedja.export.parity.samples", "0"),
        ("search_space: {}", "search_space", "is too short; it must have at least 1"),
        ("search_space: {a: {type: randint, upper: 3}}", "search_space", "is only for sweeps"),
        ("limits: {max_total_trials: 3}", "limits.max_total_trials", "is only for sweeps"),
        ("- 1", "", "expected a mapping (key: value), found a list"),
        ("just text", "", 'expected a mapping (key: value), found "just text"'),
    ],
)
def test_what_is_refused_says_where_and_why(text: str, key: str, message: str) -> None:
    (refusal,) = refusals(text)
    assert refusal.split(": ", 2 if key else 1)[1 if key else 0].removeprefix("line 1, column 1") == key
    assert message in refusal


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../x",
        "a/../../x",
        "~/x",
        "a\\b",
        "C:/x",
        "/subscriptions/1/resourceGroups/a",
        "azureml://datastores/x/paths/y",
        "azureml:data:1",
        "http://169.254.169.254/metadata",
        "file:///etc/passwd",
        "file:x",
        "",
        " ",
        "${{inputs.data}}",
    ],
)
def test_no_path_leads_out_of_the_drop(path: str) -> None:
    for values in (
        {"code": path},
        {"environment": {"image": "x", "conda_file": path}},
        {"kedja": {"entry_script": f"{path}.py" if path.strip() else path}},
        {"kedja": {"register": {"path": f"outputs/{path}" if path.startswith("..") else path}}},
        {"kedja": {"drop": {"wait_for": path}}},
    ):
        with pytest.raises(InvalidJobSpec):
            parse_job_json(values)


@pytest.mark.parametrize("name", [".done", "done.tmp"])
def test_no_drop_waits_for_a_file_that_is_never_seen(name: str) -> None:
    with pytest.raises(InvalidJobSpec, match=r"kedja\.drop\.wait_for.*Kedja ignores it"):
        parse_job_json({"kedja": {"drop": {"wait_for": name}}})


def test_a_path_is_normalised() -> None:
    assert parse_job_yaml("code: ./src//lib/").code == "src/lib"
    assert parse_job_yaml("kedja: {register: {path: outputs/best/}}").kedja.registration.path == "outputs/best"


def test_numbers_become_text_as_they_are_written() -> None:
    spec = parse_job_yaml("tags: {a: 1.10, b: yes, c: 010}\nenvironment_variables: {N: 4, V: 1e3, T: true}\n")
    assert spec.tags == {"a": "1.10", "b": "yes", "c": "010"}
    assert spec.environment_variables == {"N": "4", "V": "1e3", "T": "true"}
    assert parse_job_json({"tags": {"a": 1.1, "b": True}}).tags == {"a": "1.1", "b": "true"}


def test_a_sweep_is_read() -> None:
    spec = parse_job_yaml(SWEEP)
    assert spec.work is spec.trial
    assert spec.sampling_algorithm.type == "random"
    assert parse_job_yaml(f"{SWEEP}sampling_algorithm: bayesian\n").sampling_algorithm.type == "bayesian"


@pytest.mark.parametrize(
    ("old", "new", "key", "message"),
    [
        ("objective:", "#", "objective", "is required, but missing"),
        ("limits: {max_total_trials: 4}", "", "limits.max_total_trials", "is required, but missing"),
        ("trials: 4", "trials: 4, max_concurrent_trials: 5", "limits.max_concurrent_trials", "is more than"),
        ("trial: {", "command: x\ntrial: {", "command", "belongs under trial in a sweep"),
        ("search_space.lr", "search_space.lt", "trial.command", "does not exist; search_space has: lr, unit"),
        ("max_value: -2", "max_value: -7", "search_space.lr.max_value", "must be more than min_value, which is -6.9"),
        ("loguniform", "loguniforn", "search_space.lr.type", "did you mean loguniform?"),
        ("[100, 500]", "[100, 'a;b']", "search_space.unit.values[1]", '"a;b" contains ";"'),
        ("limits:", "sampling_algorithm: grid\nlimits:", "search_space.lr.type", "must be choice"),
        ("limits:", "early_termination: {type: bandit}\nlimits:", "early_termination", "needs either slack_factor"),
    ],
)
def test_a_sweep_is_checked(old: str, new: str, key: str, message: str) -> None:
    text = SWEEP.replace(old, new)
    assert text != SWEEP
    (refusal,) = refusals(text)
    assert f": {key}: " in refusal
    assert message in refusal


def test_a_request_names_its_keys_without_lines() -> None:
    with pytest.raises(InvalidJobSpec) as caught:
        parse_job_json({"limits": {"timeout": "10"}, "inputs": {"x": float("nan")}})
    assert [str(problem) for problem in caught.value.problems] == ["inputs.x: must be a finite number"]
    with pytest.raises(InvalidJobSpec, match=r"^limits\.timeout: expected a whole number"):
        parse_job_json({"limits": {"timeout": "10"}})
    with pytest.raises(InvalidJobSpec, match="is not a JSON value"):
        parse_job_json({"tags": {"a": object()}})
    with pytest.raises(InvalidJobSpec, match="U\\+D800"):
        parse_job_json({"description": "\ud800"})


def test_of_very_many_problems_the_first_are_told() -> None:
    with pytest.raises(InvalidJobSpec, match=r"and 150 more$") as caught:
        parse_job_yaml("".join(f"k{number}: 1\n" for number in range(200)))
    assert len(caught.value.problems) == 51


def test_a_deep_request_is_refused() -> None:
    value: dict[str, object] = {}
    for _ in range(5000):
        value = {"a": value}
    with pytest.raises(InvalidJobSpec, match="nested more than 32 levels deep"):
        parse_job_json(value)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("type: command\nkedja: {data: required, arguments: {}, register: {}}\nresources: {instance_count: 1}", "{}"),
        ("inputs: {data: {mode: download}, scripts: {type: uri_folder}}\ncode: .\nlimits: {}", "{}"),
        ("display_name: x\ndescription: y\ntags: {a: b}\n$schema: z\nexperiment_name: e", "{}"),
        ("kedja: {drop: {wait_for: _SUCCESS, max_wait: 60, supersede: false}}", "{}"),
        ("compute: azureml:big", '{"compute":"big"}'),
        ("kedja: {arguments: {b: 1, a: 1.0}}", '{"kedja":{"arguments":{"a":1.0,"b":1}}}'),
        ("inputs: {data: {mode: ro_mount}}", '{"inputs":{"data":{"mode":"ro_mount"}}}'),
        ("outputs: {m: }", '{"outputs":{"m":{}}}'),
    ],
)
def test_the_canonical_form_holds_what_is_trained(text: str, canonical: str) -> None:
    assert parse_job_yaml(text).canonical() == canonical


def test_the_full_form_is_read_back() -> None:
    spec = parse_job_yaml(f"{SWEEP}display_name: x\ntags: {{a: 1}}\nkedja: {{drop: {{max_wait: 60}}}}\n")
    assert parse_job_json(json.loads(spec.to_json())) == spec


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("compute: a\nlimits: {timeout: 5}\ntags: {a: b}\nkedja: {data: none}", ()),
        ("kedja: {arguments: {epochs: 10, verbose: true, data: '${{inputs.data}}', lr: 1e-3}}\ninputs: {x: 1}", ()),
        ("command: x\ncode: .\nenvironment: azureml:a:1", ("command", "code", "environment")),
        ("environment_variables: {A: 1}", ("environment_variables",)),
        ("kedja: {entry_script: a.py, register: {model: m}}", ("kedja.entry_script", "kedja.register.model")),
        ("kedja: {requirements: deps/setup.py}", ("kedja.requirements",)),
        ("kedja: {allow_pickle: true}", ("kedja.allow_pickle",)),
        ("kedja: {allow_pickle: false}", ()),
        (
            "kedja: {arguments: {a: /etc, b: [1, x], c: 'x${{inputs.data}}'}}",
            tuple(f"kedja.arguments.{k}" for k in "abc"),
        ),
        (
            "kedja: {register: {path: outputs/a, when: {metric: m, at_least: 0}}}",
            ("kedja.register.path", "kedja.register.when"),
        ),
        ("kedja: {export: {network: a, parity: {rtol: 1}}}", ("kedja.export.network", "kedja.export.parity")),
        ("inputs: {x: abc}", ("inputs.x",)),
        (SWEEP, ("trial.command", "trial.environment")),
        (SWEEP.replace("[100, 500]", "[a]"), ("trial.command", "trial.environment", "search_space.unit.values")),
    ],
)
def test_keys_that_decide_what_code_runs_are_named(text: str, keys: tuple[str, ...]) -> None:
    assert parse_job_yaml(text).code_keys() == keys


def test_the_experiment_is_the_folder() -> None:
    parse_job_yaml("").check_experiment("digits")
    parse_job_yaml("experiment_name: digits").check_experiment("digits")
    parse_job_yaml("experiment_name: My digits").check_experiment("My digits")
    with pytest.raises(InvalidJobSpec, match=r'^line 2, column 1: experiment_name: "letters" is another experiment'):
        parse_job_yaml("\nexperiment_name: letters").check_experiment("digits")


def test_an_unknown_compute_names_those_that_exist() -> None:
    assert parse_job_yaml("").unknown_compute([]) is None
    assert parse_job_yaml("compute: gpu").unknown_compute(["gpu"]) is None
    assert str(parse_job_yaml("\ncompute: gpu-clutser").unknown_compute(["gpu-cluster", "cpu"])) == (
        'line 2, column 1: compute: "gpu-clutser" does not exist; did you mean gpu-cluster? Allowed: cpu, gpu-cluster'
    )
    assert str(parse_job_yaml("compute: gpu").unknown_compute([])).endswith("Allowed: (none exists)")


@pytest.mark.parametrize("prefix", ["", "type: sweep\n"])
def test_a_conda_file_of_the_drop_is_written_out(prefix: str) -> None:
    environment = "environment: {image: x, conda_file: ./env/conda.yml}"
    sweep = SWEEP.replace("environment: azureml:chainer@latest", environment)
    spec = parse_job_yaml(sweep if prefix else environment)
    assert spec.conda_path == "env/conda.yml"
    with_file = spec.with_conda_file("channels: [conda-forge]\ndependencies: [python=3.11, {pip: [chainer]}]")
    assert with_file.conda_path is None
    assert with_file.canonical() != spec.canonical()
    assert parse_job_json(json.loads(with_file.to_json())) == with_file
    with pytest.raises(InvalidJobSpec, match="line 2, column 1: prefix: unknown key"):
        spec.with_conda_file("dependencies: [a]\nprefix: /opt")
    assert parse_job_yaml("").conda_path is None


def test_files_are_named_relative_to_the_code_folder() -> None:
    files = ["train.py", "src/train.py", "src/lib/a.py", "srcs/b.py"]
    assert parse_job_yaml("").in_code(files) == files
    assert parse_job_yaml("code: src").in_code(files) == ["train.py", "lib/a.py"]
