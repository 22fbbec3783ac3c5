// What the app, its jobs and Event Grid may do: each on the container, queue or resource that it needs, and on no more.
param appPrincipalId string
param jobPrincipalId string
param storageTopicPrincipalId string
param workspaceTopicPrincipalId string
param storageName string
param hostStorageName string
param workspaceContainerName string
param registryName string
param workspaceName string
param topicName string
param insightsName string

var names = loadJsonContent('../names.json')
var roles = loadJsonContent('definitions.json')

// The app reads what jobs left and what Event Grid could not deliver, and writes its own. In data and scripts it writes
// nothing itself: a link that uploads a file there can do no more than who signed it.
var appReads = [names.containers.artifacts, names.containers.deadLetter]
var appWrites = [
  names.containers.snapshots
  names.containers.models
  names.containers.receipts
  names.containers.data
  names.containers.scripts
]

// A job reads what it trains on and what a release brought, and writes to the workspace's own containers. It sees neither
// models nor receipts. If it could write releases, one job would decide what code every later job runs.
var jobReads = [names.containers.data, names.containers.scripts, names.containers.snapshots, names.containers.releases]
var jobWrites = [names.containers.artifacts, workspaceContainerName]

var deliveries = [
  { principalId: storageTopicPrincipalId, queue: names.queues.blobEvents }
  { principalId: workspaceTopicPrincipalId, queue: names.queues.runEvents }
]

resource storage 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageName

  resource blobs 'blobServices' existing = {
    name: 'default'
  }

  resource queues 'queueServices' existing = {
    name: 'default'
  }
}

resource hostStorage 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: hostStorageName
}

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = {
  name: registryName
}

resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-12-01' existing = {
  name: workspaceName
}

resource topic 'Microsoft.EventGrid/topics@2025-02-15' existing = {
  name: topicName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource appReadContainers 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = [
  for name in appReads: {
    parent: storage::blobs
    name: name
  }
]

resource appWriteContainers 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = [
  for name in appWrites: {
    parent: storage::blobs
    name: name
  }
]

resource jobReadContainers 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = [
  for name in jobReads: {
    parent: storage::blobs
    name: name
  }
]

resource jobWriteContainers 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = [
  for name in jobWrites: {
    parent: storage::blobs
    name: name
  }
]

resource deadLetters 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = {
  parent: storage::blobs
  name: names.containers.deadLetter
}

resource appQueues 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-06-01' existing = [
  for queue in items(names.queues): {
    parent: storage::queues
    name: queue.value
  }
]

resource deliveryQueues 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-06-01' existing = [
  for delivery in deliveries: {
    parent: storage::queues
    name: delivery.queue
  }
]

// --- the app

resource appReadsContainer 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (name, i) in appReads: {
    name: guid(appReadContainers[i].id, appPrincipalId, roles.blobDataReader)
    scope: appReadContainers[i]
    properties: {
      principalId: appPrincipalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataReader)
    }
  }
]

resource appWritesContainer 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (name, i) in appWrites: {
    name: guid(appWriteContainers[i].id, appPrincipalId, roles.blobDataContributor)
    scope: appWriteContainers[i]
    properties: {
      principalId: appPrincipalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataContributor)
    }
  }
]

resource appUsesQueue 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (queue, i) in items(names.queues): {
    name: guid(appQueues[i].id, appPrincipalId, roles.queueDataContributor)
    scope: appQueues[i]
    properties: {
      principalId: appPrincipalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.queueDataContributor)
    }
  }
]

// To sign links that upload or download one file, within what the app itself may do.
resource appDelegates 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(storage.id, appPrincipalId, roles.blobDelegator)
  scope: storage
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDelegator)
  }
}

resource appHostBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hostStorage.id, appPrincipalId, roles.blobDataOwner)
  scope: hostStorage
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataOwner)
  }
}

resource appHostQueues 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hostStorage.id, appPrincipalId, roles.queueDataContributor)
  scope: hostStorage
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.queueDataContributor)
  }
}

resource appHostTables 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hostStorage.id, appPrincipalId, roles.tableDataContributor)
  scope: hostStorage
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.tableDataContributor)
  }
}

// Submits jobs and registers models; by this role's own exceptions it can make no compute and change no workspace.
resource appSubmits 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspace.id, appPrincipalId, roles.dataScientist)
  scope: workspace
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.dataScientist)
  }
}

resource appAnnounces 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(topic.id, appPrincipalId, roles.eventGridDataSender)
  scope: topic
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.eventGridDataSender)
  }
}

resource appReports 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, appPrincipalId, roles.metricsPublisher)
  scope: insights
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.metricsPublisher)
  }
}

// --- jobs, and so whatever code is dropped

resource jobReadsContainer 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (name, i) in jobReads: {
    name: guid(jobReadContainers[i].id, jobPrincipalId, roles.blobDataReader)
    scope: jobReadContainers[i]
    properties: {
      principalId: jobPrincipalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataReader)
    }
  }
]

resource jobWritesContainer 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (name, i) in jobWrites: {
    name: guid(jobWriteContainers[i].id, jobPrincipalId, roles.blobDataContributor)
    scope: jobWriteContainers[i]
    properties: {
      principalId: jobPrincipalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataContributor)
    }
  }
]

resource jobPullsImages 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(registry.id, jobPrincipalId, roles.acrPull)
  scope: registry
  properties: {
    principalId: jobPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.acrPull)
  }
}

// --- Event Grid

resource deliversToQueue 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (delivery, i) in deliveries: {
    name: guid(deliveryQueues[i].id, delivery.principalId, roles.queueMessageSender)
    scope: deliveryQueues[i]
    properties: {
      principalId: delivery.principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.queueMessageSender)
    }
  }
]

resource keepsDeadLetters 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for delivery in deliveries: {
    name: guid(deadLetters.id, delivery.principalId, roles.blobDataContributor)
    scope: deadLetters
    properties: {
      principalId: delivery.principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataContributor)
    }
  }
]
