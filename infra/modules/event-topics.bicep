// The topics: Kedja's own, which other systems subscribe, and those by which storage and the workspace speak.
param location string
param tags object
param token string
param isPrivate bool
param storageId string
param workspaceId string

resource topic 'Microsoft.EventGrid/topics@2025-02-15' = {
  // checkov:skip=CKV_AZURE_193:Public mode takes events by identity alone; private mode closes it
  // checkov:skip=CKV_AZURE_191:The topic delivers nothing of its own, so it needs no identity
  name: 'evgt-kedja-${token}'
  location: location
  tags: tags
  properties: {
    inputSchema: 'CloudEventSchemaV1_0'
    disableLocalAuth: true
    minimumTlsVersionAllowed: '1.2'
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
  }
}

// System-assigned identities: with a firewall before the account only they are let in as trusted services.
resource storageTopic 'Microsoft.EventGrid/systemTopics@2025-02-15' = {
  name: 'egst-kedja-storage-${token}'
  location: location
  tags: tags
  identity: { type: 'SystemAssigned' }
  properties: {
    source: storageId
    topicType: 'Microsoft.Storage.StorageAccounts'
  }
}

resource workspaceTopic 'Microsoft.EventGrid/systemTopics@2025-02-15' = {
  name: 'egst-kedja-workspace-${token}'
  location: location
  tags: tags
  identity: { type: 'SystemAssigned' }
  properties: {
    source: workspaceId
    topicType: 'Microsoft.MachineLearningServices.Workspaces'
  }
}

output id string = topic.id
output name string = topic.name
output endpoint string = topic.properties.endpoint
output storageTopicId string = storageTopic.id
output storageTopicName string = storageTopic.name
output storageTopicPrincipalId string = storageTopic.identity.principalId
output workspaceTopicId string = workspaceTopic.id
output workspaceTopicName string = workspaceTopic.name
output workspaceTopicPrincipalId string = workspaceTopic.identity.principalId
