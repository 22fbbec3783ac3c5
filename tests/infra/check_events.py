"""Events reach their queues."""

from function_app.domain import incoming_events, naming
from tests.infra import kedja_facts
from tests.infra.bicep import Infra, Unknown
from tests.infra.kinds import QUEUE, SUBSCRIPTION, SYSTEM_TOPIC, TOPIC


def check_subscriptions_are_those_of_the_local_stack(infra: Infra) -> None:
    made = {each.name: each for each in infra.made(SUBSCRIPTION)}
    local = kedja_facts.local_subscriptions()
    expected = {**local["storage"]["eventSubscriptions"], **local["workspace"]["eventSubscriptions"]}
    assert set(made) == set(expected)
    for name, wanted in expected.items():
        properties = made[name].properties
        ours = properties["filter"]
        assert sorted(ours["includedEventTypes"]) == sorted(wanted["filter"]["includedEventTypes"])
        assert ours.get("subjectBeginsWith") == wanted["filter"].get("subjectBeginsWith")
        destination = properties["deliveryWithResourceIdentity"]["destination"]
        assert destination["properties"]["queueName"] == wanted["destination"]["properties"]["queueName"]


def check_event_types_are_those_of_the_code(infra: Infra) -> None:
    used = {kind for each in infra.made(SUBSCRIPTION) for kind in each.properties["filter"]["includedEventTypes"]}
    assert used == {incoming_events.BLOB_CREATED, incoming_events.RUN_COMPLETED, incoming_events.RUN_STATUS_CHANGED}


def check_subscriptions_hang_on_the_right_topics(infra: Infra) -> None:
    parents = {each.name: each.body["parent"].symbol for each in infra.made(SUBSCRIPTION)}
    assert parents == {naming.DATA: "storageTopic", naming.SCRIPTS: "storageTopic", "runs": "workspaceTopic"}


def check_delivery_by_identity(infra: Infra) -> None:
    for each in infra.made(SUBSCRIPTION):
        assert "destination" not in each.properties, "a plain destination takes a key"
        delivery = each.properties["deliveryWithResourceIdentity"]
        assert delivery["identity"] == {"type": "SystemAssigned"}
        assert delivery["destination"]["endpointType"] == "StorageQueue"
        assert delivery["destination"]["properties"]["resourceId"] == Unknown("storageId")
    for topic in infra.made(SYSTEM_TOPIC):
        assert topic.body["identity"] == {"type": "SystemAssigned"}, "others are no trusted services"


def check_messages_never_expire(infra: Infra) -> None:
    for each in infra.made(SUBSCRIPTION):
        queue = each.properties["deliveryWithResourceIdentity"]["destination"]["properties"]
        assert queue["queueMessageTimeToLiveInSeconds"] == -1


def check_dead_letters(infra: Infra) -> None:
    for each in infra.made(SUBSCRIPTION):
        letter = each.properties["deadLetterWithResourceIdentity"]
        assert letter["identity"] == {"type": "SystemAssigned"}
        assert letter["deadLetterDestination"]["endpointType"] == "StorageBlob"
        assert letter["deadLetterDestination"]["properties"]["blobContainerName"] == naming.DEAD_LETTER


def check_retry(infra: Infra) -> None:
    for each in infra.made(SUBSCRIPTION):
        assert each.properties["retryPolicy"] == {"maxDeliveryAttempts": 30, "eventTimeToLiveInMinutes": 1440}


def check_topics(infra: Infra) -> None:
    kinds = {
        each.symbol: (each.properties["topicType"], each.properties["source"].text) for each in infra.made(SYSTEM_TOPIC)
    }
    assert kinds == {
        "storageTopic": ("Microsoft.Storage.StorageAccounts", "storageId"),
        "workspaceTopic": ("Microsoft.MachineLearningServices.Workspaces", "workspaceId"),
    }
    local = kedja_facts.local_subscriptions()["kedja"]["inputSchema"]
    assert infra.one(TOPIC).properties["inputSchema"] == local == "CloudEventSchemaV1_0"


def check_host_agrees_with_the_queues(infra: Infra) -> None:
    queues = kedja_facts.host()["extensions"]["queues"]
    assert queues["messageEncoding"] == "base64", "Event Grid writes Base64 into queues"
    assert queues["visibilityTimeout"] == "00:00:30"
    assert queues["maxDequeueCount"] == 10
    assert queues["maxPollingInterval"] == "00:00:02"
    assert infra.made(QUEUE), "there are queues to agree about"
