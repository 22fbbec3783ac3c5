// Everything that Kedja needs in one subscription, in one pass. docs/deploy.md tells how to run it.
targetScope = 'subscription'

@minLength(1)
@maxLength(40)
@description('Name of this installation. It is part of the resource group\'s name and decides every other name.')
param environmentName string

@minLength(1)
@description('Region of every resource. It needs quota for the GPU size, and Flex Consumption.')
param location string

@description('Changes the names that must be unique in the world, where an earlier installation still holds them.')
param nameSuffix string = ''

@description('Virtual machine size of the training cluster.')
param gpuSize string = 'Standard_NC4as_T4_v3'

@minValue(0)
@maxValue(100)
@description('The most nodes at a time. With 0 no cluster is made (and none deleted): drops wait, and nothing needs GPU quota.')
param gpuMaxNodes int = 1

@allowed(['Dedicated', 'LowPriority'])
@description('LowPriority nodes cost a fraction and may be taken away; the job is then canceled on its receipt, to be retried.')
param gpuPriority string = 'Dedicated'

@allowed(['public', 'private'])
@description('public: reachable from everywhere, by identity alone. private: private endpoints, and nothing public but telemetry.')
param networkMode string = 'public'

@description('Private mode: address ranges (CIDR or single addresses, comma-separated) that may reach storage and the app nevertheless.')
param allowedAddresses string = ''

@description('Who may write into the container scripts, and so decide what code runs: Type:objectId, comma-separated.')
param scriptWriters string = ''

@description('Who may write into the container data: Type:objectId, comma-separated, Type being User, Group or ServicePrincipal.')
param dataWriters string = ''

@description('Who may read receipts and models: Type:objectId, comma-separated.')
param readers string = ''

@description('Who may make API keys, and pause the service (writes receipts): Type:objectId, comma-separated.')
param administrators string = ''

@description('Object id of the principal that runs the post-deploy hook. Empty: nobody.')
param deployerId string = ''

@description('What deployerId is: User, Group or ServicePrincipal.')
param deployerType string = 'User'

@description('Client id of an app registration in Entra ID. With it the HTTP API knows callers by Easy Auth, else by Kedja\'s keys.')
param entraClientId string = ''

@description('Names of other systems that may subscribe /api/events (WebHook-Request-Origin), comma-separated.')
param eventOrigins string = ''

@description('ARM id of the code version that holds training_job. The post-deploy hook registers it and keeps it here.')
param trainingCode string = ''

@description('What jobs run in that name no environment. The post-deploy hook registers it and keeps it here.')
param trainingEnvironment string = ''

@minValue(0)
@description('Monthly budget of the resource group in the subscription\'s currency. 0: none.')
param budgetAmount int = 100

@description('First day of the budget, yyyy-MM-01. It cannot be changed later, so azd keeps the first one.')
param budgetStart string = ''

@description('Who hears of alerts and of the budget, comma-separated addresses.')
param alertEmails string = ''

@minValue(30)
@maxValue(730)
@description('Days that logs are kept.')
param logRetentionDays int = 30

@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS'])
@description('Redundancy of the account that holds data, scripts, models and receipts.')
param storageRedundancy string = 'Standard_LRS'

@minValue(1)
@maxValue(365)
@description('Days that deleted and overwritten files can be had back.')
param retentionDays int = 30

@minValue(0)
@description('How many jobs may go on at once, in all; further drops are queued. 0: no limit.')
param maxJobs int = 100

@description('Whether code runs only once someone with the role code has approved it: none or required.')
@allowed(['none', 'required'])
param approvals string = 'none'

@minValue(0)
@description('How many jobs of one experiment may go on at once. 0: no limit.')
param maxJobsPerExperiment int = 10

@minValue(0)
@description('How often in a row a job that lost its node or was killed is resumed from its checkpoint. 0: never.')
param maxPreemptions int = 5

@minValue(0)
@description('Days that the snapshot of a drop is kept that no kept model came of. 0: for ever.')
param keepSnapshots int = 0

@minValue(0)
@description('Days that its receipt is kept. 0: for ever.')
param keepReceipts int = 0

@minValue(0)
@description('Days that a model version is kept that is neither champion nor deployed. 0: for ever.')
param keepModels int = 0

@secure()
@description('Address that posts failed jobs, rejected drops and registered models to people. Empty: none.')
param notificationEndpoint string = ''

@minValue(1)
@maxValue(1000)
@description('The most instances of the function app.')
param maximumInstances int = 40

@minValue(1)
@maxValue(1000)
@description('HTTP requests at a time on one instance, open pages among them. By default as many as it has threads for.')
param httpConcurrency int = 40

@description('Not to be set: the month of this deployment.')
param thisMonth string = utcNow('yyyy-MM-01')

var names = loadJsonContent('names.json')
var isPrivate = networkMode == 'private'
var token = uniqueString(subscription().id, environmentName, location, nameSuffix)
var tags = { 'azd-env-name': environmentName, application: 'kedja' }
var functionAppName = 'func-kedja-${token}'
var appOrigin = 'https://${functionAppName}.azurewebsites.net'
var firstMonth = empty(budgetStart) ? thisMonth : budgetStart
var deployer = empty(deployerId) ? '' : '${deployerType}:${deployerId}'

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-kedja-${environmentName}'
  location: location
  tags: tags
}

module monitoring 'modules/monitoring.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    retentionDays: logRetentionDays
    alertEmails: alertEmails
  }
}

module identities 'modules/identities.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
  }
}

module network 'modules/network.bicep' = if (isPrivate) {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
  }
}

module storage 'modules/storage.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    isPrivate: isPrivate
    allowedAddresses: allowedAddresses
    redundancy: storageRedundancy
    retentionDays: retentionDays
    appOrigin: appOrigin
  }
}

module hostStorage 'modules/host-storage.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    isPrivate: isPrivate
  }
}

module vault 'modules/vault.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
  }
}

module registry 'modules/registry.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    isPrivate: isPrivate
  }
}

// Before the workspace, or it could not be made.
module workspaceRoles 'roles/workspace.bicep' = {
  scope: group
  params: {
    principalId: identities.outputs.workspacePrincipalId
    storageName: storage.outputs.name
    vaultName: vault.outputs.name
    registryName: registry.outputs.name
    insightsName: monitoring.outputs.insightsName
    isPrivate: isPrivate
  }
}

module workspace 'modules/workspace.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    insightsId: monitoring.outputs.insightsId
    storageName: storage.outputs.name
    storageId: storage.outputs.id
    vaultId: vault.outputs.id
    registryId: registry.outputs.id
    workspaceIdentityId: identities.outputs.workspaceId
    jobIdentityId: identities.outputs.jobId
    isPrivate: isPrivate
    gpuSize: gpuSize
    gpuMaxNodes: gpuMaxNodes
    gpuPriority: gpuPriority
  }
  dependsOn: [workspaceRoles]
}

module workspaceContainer 'modules/workspace-container.bicep' = {
  scope: group
  params: {
    storageName: storage.outputs.name
    workspaceGuid: workspace.outputs.guid
  }
}

module lifecycle 'modules/lifecycle.bicep' = {
  scope: group
  params: {
    storageName: storage.outputs.name
    workspaceContainerName: workspaceContainer.outputs.name
    retentionDays: retentionDays
  }
}

module topics 'modules/event-topics.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    isPrivate: isPrivate
    storageId: storage.outputs.id
    workspaceId: workspace.outputs.id
  }
}

module roles 'roles/kedja.bicep' = {
  scope: group
  params: {
    appPrincipalId: identities.outputs.appPrincipalId
    jobPrincipalId: identities.outputs.jobPrincipalId
    storageTopicPrincipalId: topics.outputs.storageTopicPrincipalId
    workspaceTopicPrincipalId: topics.outputs.workspaceTopicPrincipalId
    storageName: storage.outputs.name
    hostStorageName: hostStorage.outputs.name
    workspaceContainerName: workspaceContainer.outputs.name
    registryName: registry.outputs.name
    workspaceName: workspace.outputs.name
    topicName: topics.outputs.name
    insightsName: monitoring.outputs.insightsName
  }
}

module people 'roles/people.bicep' = {
  scope: group
  params: {
    storageName: storage.outputs.name
    dataWriters: dataWriters
    scriptWriters: scriptWriters
    readers: readers
    administrators: administrators
    deployer: deployer
  }
}

// After the roles: Event Grid asks at once whether its identity may write there.
module subscriptions 'modules/event-subscriptions.bicep' = {
  scope: group
  params: {
    storageTopicName: topics.outputs.storageTopicName
    workspaceTopicName: topics.outputs.workspaceTopicName
    storageId: storage.outputs.id
  }
  dependsOn: [roles]
}

module notifications 'modules/notifications.bicep' = if (!empty(notificationEndpoint)) {
  scope: group
  params: {
    topicName: topics.outputs.name
    endpoint: notificationEndpoint
  }
}

module endpoints 'modules/private-endpoints.bicep' = if (isPrivate) {
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    vnetId: network!.outputs.vnetId
    subnetId: network!.outputs.endpointSubnetId
    storageId: storage.outputs.id
    hostStorageId: hostStorage.outputs.id
    vaultId: vault.outputs.id
    registryId: registry.outputs.id
    workspaceId: workspace.outputs.id
    topicId: topics.outputs.id
  }
}

module functionApp 'modules/function-app.bicep' = {
  scope: group
  params: {
    name: functionAppName
    location: location
    tags: tags
    token: token
    insightsConnection: monitoring.outputs.insightsConnection
    identityId: identities.outputs.appId
    identityClientId: identities.outputs.appClientId
    storageName: storage.outputs.name
    hostStorageName: hostStorage.outputs.name
    packageContainer: hostStorage.outputs.packageContainer
    workspaceName: workspace.outputs.name
    eventGridEndpoint: topics.outputs.endpoint
    trainingCode: trainingCode
    trainingEnvironment: empty(trainingEnvironment) ? 'azureml:${names.environment}:1' : trainingEnvironment
    entraClientId: entraClientId
    eventOrigins: eventOrigins
    maxJobs: maxJobs
    approvals: approvals
    maxJobsPerExperiment: maxJobsPerExperiment
    maxPreemptions: maxPreemptions
    keepSnapshots: keepSnapshots
    keepReceipts: keepReceipts
    keepModels: keepModels
    maximumInstances: maximumInstances
    httpConcurrency: httpConcurrency
    isPrivate: isPrivate
    allowedAddresses: allowedAddresses
    subnetId: isPrivate ? network!.outputs.appSubnetId : ''
    endpointSubnetId: isPrivate ? network!.outputs.endpointSubnetId : ''
    siteZoneId: isPrivate ? endpoints!.outputs.siteZoneId : ''
  }
  dependsOn: [roles]
}

module signIn 'modules/sign-in.bicep' = if (!empty(entraClientId)) {
  scope: group
  params: {
    functionAppName: functionApp.outputs.name
    entraClientId: entraClientId
  }
}

module diagnostics 'modules/diagnostics.bicep' = {
  scope: group
  params: {
    logsId: monitoring.outputs.logsId
    logsName: monitoring.outputs.logsName
    storageName: storage.outputs.name
    hostStorageName: hostStorage.outputs.name
    vaultName: vault.outputs.name
    registryName: registry.outputs.name
    workspaceName: workspace.outputs.name
    functionAppName: functionApp.outputs.name
    topicName: topics.outputs.name
    systemTopicNames: [topics.outputs.storageTopicName, topics.outputs.workspaceTopicName]
    securityGroupNames: isPrivate ? network!.outputs.securityGroupNames : []
  }
}

module alerts 'modules/alerts.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    logsId: monitoring.outputs.logsId
    actionGroupId: monitoring.outputs.actionGroupId
    workspaceId: workspace.outputs.id
    storageTopicId: topics.outputs.storageTopicId
    workspaceTopicId: topics.outputs.workspaceTopicId
  }
}

module workbook 'modules/workbook.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    logsId: monitoring.outputs.logsId
    storageName: storage.outputs.name
  }
}

module budget 'modules/budget.bicep' = if (budgetAmount > 0) {
  scope: group
  params: {
    amount: budgetAmount
    startDate: firstMonth
    alertEmails: alertEmails
    actionGroupId: monitoring.outputs.actionGroupId
  }
}

output AZURE_LOCATION string = location
output AZURE_RESOURCE_GROUP string = group.name
output KEDJA_BUDGET_START string = firstMonth
output KEDJA_FUNCTION_APP string = functionApp.outputs.name
output KEDJA_URL string = functionApp.outputs.url
output KEDJA_STORAGE_ACCOUNT string = storage.outputs.name
output KEDJA_BLOB_ENDPOINT string = storage.outputs.blobEndpoint
output KEDJA_WORKSPACE_NAME string = workspace.outputs.name
output KEDJA_RELEASES_CONTAINER string = names.containers.releases
output KEDJA_EVENT_GRID_TOPIC string = topics.outputs.name
@description('What was asked for. The hook compares it with what is there: a deployment deletes nothing.')
output KEDJA_DEPLOYED string = string({
  dataWriters: dataWriters
  scriptWriters: scriptWriters
  readers: readers
  administrators: administrators
  deployer: deployer
  gpuMaxNodes: gpuMaxNodes
  gpuSize: gpuSize
  gpuPriority: gpuPriority
  alertEmails: alertEmails
  ownPrincipals: [
    identities.outputs.appPrincipalId
    identities.outputs.jobPrincipalId
    topics.outputs.storageTopicPrincipalId
    topics.outputs.workspaceTopicPrincipalId
  ]
})
