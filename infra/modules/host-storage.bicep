// The Functions host's own account: the app's package and the host's locks. Apart from the drops, so that who may write
// there cannot change what the app is, and so that the app needs no rights over the whole of the other account.
param location string
param tags object
param token string
param isPrivate bool

var packages = 'packages'

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  // checkov:skip=CKV_AZURE_43:The name ends in a uniqueString, 20 or 24 lower-case characters and digits in all
  // checkov:skip=CKV_AZURE_59:Deploying writes the package here, by identity alone; private mode closes it
  // checkov:skip=CKV_AZURE_35:Public mode lets everyone knock and no one in without an identity; private mode denies by default
  // checkov:skip=CKV_AZURE_206:Holds the package and the locks of one region's app, which a deployment makes again
  name: 'stkedjahost${token}'
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  properties: {
    accessTier: 'Hot'
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    networkAcls: {
      defaultAction: isPrivate ? 'Deny' : 'Allow'
      bypass: 'AzureServices'
    }
    sasPolicy: { sasExpirationPeriod: '1.00:00:00', expirationAction: 'Log' }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' = {
  parent: account
  name: 'default'
  properties: {
    isVersioningEnabled: false // locks are renewed every few seconds
    deleteRetentionPolicy: { enabled: true, days: 7 }
    containerDeleteRetentionPolicy: { enabled: true, days: 7 }
  }
}

resource packageContainer 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: blobs
  name: packages
  properties: { publicAccess: 'None' }
}

resource queueService 'Microsoft.Storage/storageAccounts/queueServices@2025-06-01' = {
  parent: account
  name: 'default'
}

resource tableService 'Microsoft.Storage/storageAccounts/tableServices@2025-06-01' = {
  parent: account
  name: 'default'
}

output id string = account.id
output name string = account.name
output packageContainer string = packageContainer.name
