// What people hear of: to an endpoint that posts into a chat or sends mail. docs/events.md tells how to make one.
// Without dead letters: a message to people may be lost, the receipt and the alerts are not.
param topicName string

@secure()
@description('An address to which anyone who knows it can post: a secret, given from outside and kept in no file.')
param endpoint string

var deliveryAttempts = 30
var minutesToLive = 1440

resource topic 'Microsoft.EventGrid/topics@2025-02-15' existing = {
  name: topicName
}

resource people 'Microsoft.EventGrid/topics/eventSubscriptions@2025-02-15' = {
  parent: topic
  name: 'people'
  properties: {
    eventDeliverySchema: 'CloudEventSchemaV1_0'
    filter: { includedEventTypes: loadJsonContent('../names.json').forPeople }
    retryPolicy: { maxDeliveryAttempts: deliveryAttempts, eventTimeToLiveInMinutes: minutesToLive }
    destination: {
      endpointType: 'WebHook'
      properties: { endpointUrl: endpoint, maxEventsPerBatch: 1, minimumTlsVersionAllowed: '1.2' }
    }
  }
}
