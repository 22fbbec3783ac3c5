// Which events go to which queue. To queues and not to the app: a queue is there before any code, needs no key, and
// waits.
param storageTopicName string
param workspaceTopicName string
param storageId string

var names = loadJsonContent('../names.json')
var watched = [names.containers.data, names.containers.scripts]

// Event Grid's longest: a day, thirty times.
var deliveryAttempts = 30
var minutesToLive = 1440
var neverExpires = -1

resource storageTopic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: storageTopicName
}

resource workspaceTopic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: workspaceTopicName
}

resource drops 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = [
  for container in watched: {
    parent: storageTopic
    name: container
    properties: {
      eventDeliverySchema: 'EventGridSchema'
      filter: {
        includedEventTypes: [names.events.blobCreated]
        subjectBeginsWith: '/blobServices/default/containers/${container}/'
      }
      retryPolicy: { maxDeliveryAttempts: deliveryAttempts, eventTimeToLiveInMinutes: minutesToLive }
      deliveryWithResourceIdentity: {
        identity: { type: 'SystemAssigned' }
        destination: {
          endpointType: 'StorageQueue'
          properties: {
            resourceId: storageId
            queueName: names.queues.blobEvents
            queueMessageTimeToLiveInSeconds: neverExpires
          }
        }
      }
      deadLetterWithResourceIdentity: {
        identity: { type: 'SystemAssigned' }
        deadLetterDestination: {
          endpointType: 'StorageBlob'
          properties: { resourceId: storageId, blobContainerName: names.containers.deadLetter }
        }
      }
    }
  }
]

resource runs 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: workspaceTopic
  name: 'runs'
  properties: {
    eventDeliverySchema: 'EventGridSchema'
    filter: { includedEventTypes: [names.events.runCompleted, names.events.runStatusChanged] }
    retryPolicy: { maxDeliveryAttempts: deliveryAttempts, eventTimeToLiveInMinutes: minutesToLive }
    deliveryWithResourceIdentity: {
      identity: { type: 'SystemAssigned' }
      destination: {
        endpointType: 'StorageQueue'
        properties: {
          resourceId: storageId
          queueName: names.queues.runEvents
          queueMessageTimeToLiveInSeconds: neverExpires
        }
      }
    }
    deadLetterWithResourceIdentity: {
      identity: { type: 'SystemAssigned' }
      deadLetterDestination: {
        endpointType: 'StorageBlob'
        properties: { resourceId: storageId, blobContainerName: names.containers.deadLetter }
      }
    }
  }
}
