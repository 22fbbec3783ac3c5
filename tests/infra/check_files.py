"""The files fit together."""

import json
import re

from tests.infra.bicep import Infra


def check_files_parse(infra: Infra) -> None:
    assert {path: file.broken for path, file in infra.files.items() if file.broken} == {}


def check_no_line_begins_with_a_hash(infra: Infra) -> None:
    """The compiler knows three words behind `#` and refuses any other; tree-sitter and pycep pass over all of them."""
    for file in infra.files.values():
        found = re.findall(
            r"^[^\S\n]*#(?!disable-next-line\b|disable-diagnostics\b|restore-diagnostics\b).*", file.text, re.MULTILINE
        )
        assert found == [], f"{file.path}: a comment begins with //"


def check_modules_get_what_they_ask_for(infra: Infra) -> None:
    for file in infra.files.values():
        for module in file.modules:
            assert module.path in infra.files, f"{file.path}: {module.symbol} calls {module.path}, which is not there"
            asked = infra[module.path].parameters
            required = {name for name, must in asked.items() if must}
            assert set(module.params) <= set(asked), f"{module.symbol}: unknown {set(module.params) - set(asked)}"
            assert required <= set(module.params), f"{module.symbol}: lacks {required - set(module.params)}"


def check_every_module_is_called(infra: Infra) -> None:
    called = {module.path for file in infra.files.values() for module in file.modules}
    assert called == set(infra.files) - {"main.bicep"}


def check_outputs_that_are_read_are_declared(infra: Infra) -> None:
    for file in infra.files.values():
        paths = {module.symbol: module.path for module in file.modules}
        for symbol, output in re.findall(r"\b(\w+)!?\.outputs\.(\w+)", file.text):
            assert output in infra[paths[symbol]].outputs, f"{file.path}: {symbol} has no output {output}"


def check_parameters_and_variables_are_used(infra: Infra) -> None:
    for file in infra.files.values():
        for name in (*file.parameters, *file.variables):
            uses = len(re.findall(rf"\b{name}\b", re.sub(r"^\s*//.*", "", file.text, flags=re.MULTILINE)))
            assert uses > 1, f"{file.path}: {name} is not used"


def check_main_parameters_are_described(infra: Infra) -> None:
    main = infra["main.bicep"]
    lacking = [name for name in main.parameters if "@description" not in main.decorators[name]]
    assert lacking == []


def check_parameter_file_agrees(infra: Infra) -> None:
    given = json.loads(infra.texts["main.parameters.json"])["parameters"]
    main = infra["main.bicep"].parameters
    assert set(given) == set(main) - {"thisMonth"}, "azd sets every parameter but the month"
    for name, required in main.items():
        if required:
            assert re.fullmatch(r"\$\{AZURE_[A-Z_]+\}", given[name]["value"]), f"{name} comes from azd"


def check_what_azd_hands_back_is_put_out(infra: Infra) -> None:
    outputs = infra["main.bicep"].outputs
    assert {"AZURE_LOCATION", "AZURE_RESOURCE_GROUP", "KEDJA_BUDGET_START"} <= set(outputs)
    given = json.loads(infra.texts["main.parameters.json"])["parameters"]
    assert given["budgetStart"]["value"] == "${KEDJA_BUDGET_START}", "a budget's start cannot be changed"
    assert outputs["KEDJA_BUDGET_START"] == "firstMonth"


def check_defaults_stand_the_same_in_both_places(infra: Infra) -> None:
    """A variable that is not set is an empty text for azd, which has to mean what the Bicep means by nothing."""
    given = json.loads(infra.texts["main.parameters.json"])["parameters"]
    main = infra["main.bicep"]
    for name, entry in given.items():
        if main.parameters[name]:
            continue
        found = re.fullmatch(r"\$\{\w+(?:=(.+))?\}", entry["value"])
        assert found, f"{name}: {entry['value']}"
        declared = re.search(rf"^param {name} \w+ = '?([^'\n]*)'?$", main.text, re.MULTILINE)
        assert declared, f"{name} has a plain default"
        assert declared[1] == (found[1] or ""), f"{name}: {declared[1]!r} and {found[1]!r}"
