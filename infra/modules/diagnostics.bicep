// Logs and metrics of every resource that has them, into one workspace.
//
// The only API version that Azure deploys is a preview (github.com/Azure/azure-rest-api-specs/issues/16697), and type
// catalogues of stable versions lack it: so the types are written with /providers/, which needs none. The compiler warns
// of that (BCP174). tests/infra holds the bodies to that version's properties.
//
// Azure ML, Event Grid and the app are asked for what the workbook and the alerts read; storage for who wrote what, and
// not for reads: every look of the app's is one.
param logsId string
param logsName string
param storageName string
param hostStorageName string
param vaultName string
param registryName string
param workspaceName string
param functionAppName string
param topicName string
param systemTopicNames array
param securityGroupNames array

var audit = [{ categoryGroup: 'audit', enabled: true }]
var metrics = [{ category: 'AllMetrics', enabled: true }]
var transactions = [{ category: 'Transaction', enabled: true }]
var writes = [
  { category: 'StorageWrite', enabled: true }
  { category: 'StorageDelete', enabled: true }
]

resource logs 'Microsoft.OperationalInsights/workspaces/providers/diagnosticSettings@2021-05-01-preview' = {
  name: '${logsName}/Microsoft.Insights/kedja'
  properties: { workspaceId: logsId, logs: audit }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices/providers/diagnosticSettings@2021-05-01-preview' = {
  name: '${storageName}/default/Microsoft.Insights/kedja'
  properties: { workspaceId: logsId, logs: writes, metrics: transactions }
}

resource queues 'Microsoft.Storage/storageAccounts/queueServices/providers/diagnosticSettings@2021-05-01-preview' = {
  name: '${storageName}/default/Microsoft.Insights/kedja'
  properties: { workspaceId: logsId, metrics: transactions }
}

resource hostBlobs 'Microsoft.Storage/storageAccounts/blobServices/providers/diagnosticSettings@2021-05-01-preview' = {
  name: '${hostStorageName}/default/Microsoft.Insights/kedja'
  properties: { workspaceId: logsId, metrics: transactions }
}

resource hostQueues 'Microsoft.Storage/storageAccounts/queueServices/providers/diagnosticSettings@2021-05-01-preview' = {
  name: '${hostStorageName}/default/Microsoft.Insights/kedja'
  properties: { workspaceId: logsId, metrics: transactions }
}

resource hostTables 'Microsoft.Storage/storageAccounts/tableServices/providers/diagnosticSettings@2021-05-01-preview' = {
  name: '${hostStorageName}/default/Microsoft.Insights/kedja'
  properties: { workspaceId: logsId, metrics: transactions }
}

resource vault 'Microsoft.KeyVault/vaults/providers/diagnosticSettings@2021-05-01-preview' = {
  name: '${vaultName}/Microsoft.Insights/kedja'
  properties: { workspaceId: logsId, logs: audit, metrics: metrics }
}

resource registry 'Microsoft.ContainerRegistry/registries/providers/diagnosticSettings@2021-05-01-preview' = {
  name: '${registryName}/Microsoft.Insights/kedja'
  properties: { workspaceId: logsId, logs: audit, metrics: metrics }
}

resource workspace 'Microsoft.MachineLearningServices/workspaces/providers/diagnosticSettings@2021-05-01-preview' = {
  name: '${workspaceName}/Microsoft.Insights/kedja'
  properties: {
    workspaceId: logsId
    logs: [
      { category: 'AmlComputeClusterEvent', enabled: true }
      { category: 'AmlComputeClusterNodeEvent', enabled: true }
      { category: 'AmlComputeJobEvent', enabled: true }
      { category: 'AmlRunStatusChangedEvent', enabled: true }
    ]
    metrics: metrics
  }
}

// Without FunctionAppLogs: the host sends the same lines to Application Insights, which keeps them in this workspace.
resource functionApp 'Microsoft.Web/sites/providers/diagnosticSettings@2021-05-01-preview' = {
  name: '${functionAppName}/Microsoft.Insights/kedja'
  properties: { workspaceId: logsId, metrics: metrics }
}

resource topic 'Microsoft.EventGrid/topics/providers/diagnosticSettings@2021-05-01-preview' = {
  name: '${topicName}/Microsoft.Insights/kedja'
  properties: {
    workspaceId: logsId
    logs: [
      { category: 'DeliveryFailures', enabled: true }
      { category: 'PublishFailures', enabled: true }
    ]
    metrics: metrics
  }
}

resource systemTopics 'Microsoft.EventGrid/systemTopics/providers/diagnosticSettings@2021-05-01-preview' = [
  for name in systemTopicNames: {
    name: '${name}/Microsoft.Insights/kedja'
    properties: { workspaceId: logsId, logs: [{ category: 'DeliveryFailures', enabled: true }], metrics: metrics }
  }
]

resource securityGroups 'Microsoft.Network/networkSecurityGroups/providers/diagnosticSettings@2021-05-01-preview' = [
  for name in securityGroupNames: {
    name: '${name}/Microsoft.Insights/kedja'
    properties: { workspaceId: logsId, logs: [{ category: 'NetworkSecurityGroupRuleCounter', enabled: true }] }
  }
]
