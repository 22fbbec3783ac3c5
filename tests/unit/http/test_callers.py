import base64
import json

import pytest

from function_app.errors import InvalidSettings, RoleMissing, Unauthenticated
from function_app.http.callers import AuthMethod, Caller, Callers, Role
from function_app.settings import Settings

AZURE = {"WEBSITE_SITE_NAME": "kedja", "WEBSITE_AUTH_ENABLED": "True"}
AZURITE = "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5==;BlobEndpoint=http://{host}:10000/devstoreaccount1"
OWNER = Caller(name="robot", role=Role.DATA, experiments=("digits",))


def read(**environ: str) -> Callers:
    return Callers.read(Settings.read(environ), environ)


def principal(*roles: str, **values: object) -> dict[str, str]:
    document = {"role_typ": "roles", "claims": [{"typ": "roles", "val": role} for role in roles], **values}
    return {
        "x-ms-client-principal-id": "0b5e",
        "x-ms-client-principal-name": "ada@example.com",
        "x-ms-client-principal": base64.b64encode(json.dumps(document).encode()).decode(),
    }


def no_key(_text: str) -> Caller | None:
    raise AssertionError("No key was sent.")


@pytest.mark.parametrize("auth", ["easy-auth", "keys", "easy-auth,keys", " keys , easy-auth "])
def test_azure_takes_easy_auth_and_keys(auth: str) -> None:
    words = {word.strip() for word in auth.split(",")}

    assert read(**AZURE, KEDJA_AUTH=auth).methods == set(map(AuthMethod, words))


@pytest.mark.parametrize("sign", ["WEBSITE_SITE_NAME", "WEBSITE_INSTANCE_ID", "CONTAINER_APP_NAME"])
@pytest.mark.parametrize("auth", ["", "local", "local,keys"])
def test_azure_does_not_start_with_an_open_or_a_shut_door(sign: str, auth: str) -> None:
    with pytest.raises(InvalidSettings, match="KEDJA_AUTH"):
        read(**{sign: "x", "KEDJA_AUTH": auth, "KedjaStorage": "UseDevelopmentStorage=true"})


def test_easy_auth_needs_the_platform_that_strips_its_headers() -> None:
    with pytest.raises(InvalidSettings, match="anyone could set its headers"):
        read(KEDJA_AUTH="easy-auth")
    with pytest.raises(InvalidSettings, match="anyone could set its headers"):
        read(**{**AZURE, "WEBSITE_AUTH_ENABLED": "False"}, KEDJA_AUTH="easy-auth")
    with pytest.raises(InvalidSettings, match="anyone could set its headers"):
        read(WEBSITE_SITE_NAME="kedja", KEDJA_AUTH="easy-auth")

    assert read(**AZURE, KEDJA_AUTH="easy-auth").methods


def test_an_unknown_word_is_named() -> None:
    with pytest.raises(InvalidSettings, match=r"'keys,open': open is not one of easy-auth, keys, local"):
        read(KEDJA_AUTH="keys,open")


@pytest.mark.parametrize(
    "storage",
    [
        {"KedjaStorage": "UseDevelopmentStorage=true"},
        {"KedjaStorage": AZURITE.format(host="127.0.0.1")},
        {"KedjaStorage": AZURITE.format(host="localhost")},
        {"KedjaStorage": AZURITE.format(host="[::1]")},
        {"KedjaStorage__blobServiceUri": "http://127.0.0.1:10000/devstoreaccount1"},
    ],
)
def test_local_is_for_storage_on_this_machine(storage: dict[str, str]) -> None:
    caller = read(KEDJA_AUTH="local", **storage).identify({}, None, no_key)

    assert caller.can_run_code
    assert caller.sees_everything


@pytest.mark.parametrize(
    "storage",
    [
        {},
        {"KedjaStorage": "AccountName=prod;AccountKey=a2V5;EndpointSuffix=core.windows.net"},
        {"KedjaStorage": AZURITE.format(host="127.0.0.1.example.com")},
        {"KedjaStorage": AZURITE.format(host="10.0.0.4")},
        {"KedjaStorage": "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://10.0.0.4"},
        {"KedjaStorage__blobServiceUri": "https://prod.blob.core.windows.net"},
    ],
)
def test_local_is_refused_with_any_other_storage(storage: dict[str, str]) -> None:
    with pytest.raises(InvalidSettings, match="lets everyone in"):
        read(KEDJA_AUTH="local", **storage)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_cannot_call_for_who_looks_at_it(site: str) -> None:
    headers = {"sec-fetch-site": site, "host": "localhost:7071"}
    local = read(KEDJA_AUTH="local,keys", KedjaStorage="UseDevelopmentStorage=true")
    with pytest.raises(Unauthenticated, match="another site"):
        local.identify(headers, None, no_key)
    with pytest.raises(Unauthenticated, match="another site"):
        read(KEDJA_AUTH="easy-auth", WEBSITE_SITE_NAME="k", WEBSITE_AUTH_ENABLED="true").identify(
            {**headers, **principal("Kedja.Code")}, None, no_key
        )
    robot = Caller(name="robot", role=Role.DATA)
    assert local.identify(headers, "kedja_x", lambda _: robot) is robot


@pytest.mark.parametrize("host", ["localhost:7071", "127.0.0.1", "[::1]:7071"])
def test_local_answers_to_this_machines_names(host: str) -> None:
    assert read(KEDJA_AUTH="local", KedjaStorage="UseDevelopmentStorage=true").identify({"host": host}, None, no_key)


@pytest.mark.parametrize("host", ["evil.example:7071", "127.0.0.1.evil.example", ""])
def test_local_does_not_answer_to_a_name_of_somebody_elses(host: str) -> None:
    with pytest.raises(Unauthenticated, match="not this machine's name"):
        read(KEDJA_AUTH="local", KedjaStorage="UseDevelopmentStorage=true").identify({"host": host}, None, no_key)


def test_nobody_gets_in_where_nothing_is_set() -> None:
    with pytest.raises(Unauthenticated, match="KEDJA_AUTH is not set"):
        read().identify(principal("Kedja.Code"), "kedja_x", no_key)


@pytest.mark.parametrize(
    ("roles", "role"),
    [
        (["Kedja.Data"], Role.DATA),
        (["Kedja.Code"], Role.CODE),
        (["Kedja.Code", "Kedja.Data"], Role.CODE),
        (["Else.Admin"], None),
        ([], None),
    ],
)
def test_easy_auth_brings_roles(roles: list[str], role: Role | None) -> None:
    caller = Callers(frozenset({AuthMethod.EASY_AUTH})).identify(principal(*roles), None, no_key)

    assert caller == Caller(name="ada@example.com", role=role)


def test_roles_are_read_by_the_claim_type_that_the_principal_names() -> None:
    claims = [{"typ": "r", "val": "Kedja.Data"}, {"typ": "name", "val": "Kedja.Code"}]

    caller = Callers(frozenset({AuthMethod.EASY_AUTH})).identify(principal(role_typ="r", claims=claims), None, no_key)

    assert caller.role is Role.DATA


@pytest.mark.parametrize("value", ["%%%", "bm8ganNvbg==", "W10=", base64.b64encode(b'{"claims": [{}]}').decode()])
def test_a_principal_that_cannot_be_read_is_nobody(value: str) -> None:
    headers = {"x-ms-client-principal-id": "0b5e", "x-ms-client-principal": value}

    with pytest.raises(Unauthenticated, match="X-MS-CLIENT-PRINCIPAL"):
        Callers(frozenset({AuthMethod.EASY_AUTH})).identify(headers, None, no_key)


def test_the_headers_of_easy_auth_mean_nothing_without_it() -> None:
    with pytest.raises(Unauthenticated, match="X-Kedja-Key"):
        Callers(frozenset({AuthMethod.KEYS})).identify(principal("Kedja.Code"), None, no_key)


def test_a_key_means_nothing_where_keys_are_not_set() -> None:
    with pytest.raises(Unauthenticated, match="sign in"):
        Callers(frozenset({AuthMethod.EASY_AUTH})).identify({}, "kedja_x", no_key)


def test_a_good_key_is_its_owner() -> None:
    assert Callers(frozenset({AuthMethod.KEYS})).identify({}, "kedja_x", {"kedja_x": OWNER}.get) is OWNER


@pytest.mark.parametrize("other", [AuthMethod.EASY_AUTH, AuthMethod.LOCAL])
def test_a_bad_key_is_refused_though_another_way_is_open(other: AuthMethod) -> None:
    def unknown(_text: str) -> None:
        return None

    with pytest.raises(Unauthenticated, match="unknown, expired or revoked"):
        Callers(frozenset({AuthMethod.KEYS, other})).identify(principal("Kedja.Code"), "kedja_x", unknown)


@pytest.mark.parametrize(
    ("patterns", "experiment", "sees"),
    [
        (("*",), "digits", True),
        (("digits",), "digits", True),
        (("digits",), "digits-2", False),
        (("vision-*", "digits"), "vision-a", True),
        (("vision-*",), "Vision-a", False),
        ((), "digits", False),
    ],
)
def test_patterns_say_what_a_caller_sees(patterns: tuple[str, ...], experiment: str, *, sees: bool) -> None:
    assert Caller(name="x", role=Role.DATA, experiments=patterns).can_see(experiment) is sees


@pytest.mark.parametrize(
    ("caller", "role", "everything", "words"),
    [
        (Caller(name="ada", role=None), Role.DATA, False, "Kedja.Data or Kedja.Code"),
        (Caller(name="ada", role=Role.DATA), Role.CODE, False, "requires the role `code`"),
        (Caller(name="ada", role=Role.CODE, experiments=("a-*",)), Role.DATA, True, "limited to a-*"),
    ],
)
def test_a_caller_without_the_role_is_told_which(caller: Caller, role: Role, words: str, *, everything: bool) -> None:
    with pytest.raises(RoleMissing) as refused:
        caller.require(role, everything=everything)

    assert words in str(refused.value)


def test_code_includes_data() -> None:
    Caller(name="ada", role=Role.CODE).require(Role.DATA, everything=True)
