// The account that people drop files into. It is the workspace's default account too, so that copying stays inside it.
param location string
param tags object
param token string
param isPrivate bool
param allowedAddresses string
param redundancy string
param retentionDays int

@description('Origin of the app\'s pages, which upload from the browser.')
param appOrigin string

var names = loadJsonContent('../names.json')
var addresses = filter(map(split(allowedAddresses, ','), address => trim(address)), address => !empty(address))

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  // checkov:skip=CKV_AZURE_43:The name ends in a uniqueString, 20 or 24 lower-case characters and digits in all
  // checkov:skip=CKV_AZURE_59:Public mode lets people drop files from anywhere, by identity alone; private mode closes it
  // checkov:skip=CKV_AZURE_35:Public mode lets everyone knock and no one in without an identity; private mode denies by default
  // checkov:skip=CKV_AZURE_206:Redundancy is the parameter storageRedundancy
  name: 'stkedja${token}'
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: redundancy }
  properties: {
    accessTier: 'Hot'
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    isHnsEnabled: false
    publicNetworkAccess: isPrivate && empty(addresses) ? 'Disabled' : 'Enabled'
    // Event Grid and the workspace come in as trusted services.
    networkAcls: {
      defaultAction: isPrivate ? 'Deny' : 'Allow'
      bypass: 'AzureServices'
      ipRules: [for address in addresses: { value: address, action: 'Allow' }]
    }
    sasPolicy: { sasExpirationPeriod: '1.00:00:00', expirationAction: 'Log' }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' = {
  parent: account
  name: 'default'
  properties: {
    isVersioningEnabled: true
    deleteRetentionPolicy: { enabled: true, days: retentionDays }
    containerDeleteRetentionPolicy: { enabled: true, days: retentionDays }
    cors: {
      corsRules: [
        {
          allowedOrigins: [appOrigin]
          allowedMethods: ['GET', 'HEAD', 'OPTIONS', 'PUT']
          allowedHeaders: ['content-md5', 'content-type', 'if-none-match', 'x-ms-*']
          exposedHeaders: ['etag', 'x-ms-*']
          maxAgeInSeconds: 3600
        }
      ]
    }
  }
}

resource containers 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = [
  for container in items(names.containers): {
    parent: blobs
    name: container.value
    properties: { publicAccess: 'None' }
  }
]

resource queueService 'Microsoft.Storage/storageAccounts/queueServices@2025-06-01' = {
  parent: account
  name: 'default'
}

resource queues 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-06-01' = [
  for queue in items(names.queues): {
    parent: queueService
    name: queue.value
  }
]

output id string = account.id
output name string = account.name
output blobEndpoint string = account.properties.primaryEndpoints.blob
