// The Azure ML workspace, its cluster, its datastores, and the environment whose versions the post-deploy hook
// registers.
param location string
param tags object
param token string
param insightsId string
param storageName string
param storageId string
param vaultId string
param registryId string
param workspaceIdentityId string
param jobIdentityId string
param isPrivate bool
param gpuSize string
param gpuMaxNodes int
param gpuPriority string

var names = loadJsonContent('../names.json')
var idleTime = 'PT120S'

resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-12-01' = {
  // checkov:skip=CKV_AZURE_243:Private endpoints are made in private mode, by private-endpoints.bicep
  name: 'mlw-kedja-${token}'
  location: location
  tags: tags
  kind: 'Default'
  sku: { name: 'Basic', tier: 'Basic' }
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${workspaceIdentityId}': {} }
  }
  properties: {
    friendlyName: 'Kedja'
    primaryUserAssignedIdentity: workspaceIdentityId
    storageAccount: storageId
    keyVault: vaultId
    applicationInsights: insightsId
    containerRegistry: registryId
    systemDatastoresAuthMode: 'Identity' // keys of the account are off
    v1LegacyMode: false
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    // Jobs may install packages, so they may go out; what they reach of ours they reach by private endpoints.
    managedNetwork: { isolationMode: isPrivate ? 'AllowInternetOutbound' : 'Disabled' }
  }
}

resource cluster 'Microsoft.MachineLearningServices/workspaces/computes@2025-12-01' = if (gpuMaxNodes > 0) {
  parent: workspace
  name: names.compute
  location: location
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${jobIdentityId}': {} }
  }
  properties: {
    computeType: 'AmlCompute'
    disableLocalAuth: true
    properties: {
      osType: 'Linux'
      vmSize: gpuSize
      vmPriority: gpuPriority
      scaleSettings: { minNodeCount: 0, maxNodeCount: gpuMaxNodes, nodeIdleTimeBeforeScaleDown: idleTime }
      remoteLoginPortPublicAccess: 'Disabled'
      enableNodePublicIp: !isPrivate
    }
  }
}

// Without credentials: what is read here is read with the identity of the job.
resource dataStore 'Microsoft.MachineLearningServices/workspaces/datastores@2025-12-01' = {
  parent: workspace
  name: names.datastores.data
  properties: {
    datastoreType: 'AzureBlob'
    accountName: storageName
    containerName: names.containers.data
    endpoint: environment().suffixes.storage
    protocol: 'https'
    credentials: { credentialsType: 'None' }
    serviceDataAccessAuthIdentity: 'None'
  }
}

resource snapshotStore 'Microsoft.MachineLearningServices/workspaces/datastores@2025-12-01' = {
  parent: workspace
  name: names.datastores.snapshots
  properties: {
    datastoreType: 'AzureBlob'
    accountName: storageName
    containerName: names.containers.snapshots
    endpoint: environment().suffixes.storage
    protocol: 'https'
    credentials: { credentialsType: 'None' }
    serviceDataAccessAuthIdentity: 'None'
  }
}

// Chainer on today's Python, NumPy and CUDA. Each release adds a version.
resource chainer 'Microsoft.MachineLearningServices/workspaces/environments@2025-12-01' = {
  parent: workspace
  name: names.environment
  properties: { isArchived: false }
}

output id string = workspace.id
output name string = workspace.name
output guid string = workspace.properties.workspaceId
