"""What people hear of."""

from function_app.domain.cloud_events import Announced
from tests.infra.bicep import Infra, Unknown
from tests.infra.kinds import TOPIC


def check_people_hear_of_what_concerns_them(infra: Infra) -> None:
    subscription = infra.one(f"{TOPIC}/eventSubscriptions")
    assert subscription.body["parent"].symbol == "topic"
    assert subscription.properties["filter"] == {
        "includedEventTypes": [Announced.JOB_FAILED, Announced.DROP_REJECTED, Announced.MODEL_REGISTERED]
    }
    assert subscription.properties["eventDeliverySchema"] == infra.one(TOPIC).properties["inputSchema"]
    assert subscription.properties["destination"]["endpointType"] == "WebHook"
    assert subscription.properties["destination"]["properties"]["endpointUrl"] == Unknown("endpoint")


def check_the_endpoint_is_a_secret_and_none_by_default(infra: Infra) -> None:
    for path, name in (("main.bicep", "notificationEndpoint"), ("modules/notifications.bicep", "endpoint")):
        assert "@secure()" in infra[path].decorators[name], f"{path}: {name}"
    module = next(each for each in infra["main.bicep"].modules if each.symbol == "notifications")
    assert "= if (!empty(notificationEndpoint))" in module.text
    assert "param notificationEndpoint string = ''" in infra["main.bicep"].text
