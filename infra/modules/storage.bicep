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
var addresses = empty(allowedAddresses) ? [] : split(allowedAddresses, ',')

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  #checkov:skip=CKV_AZURE_43:The name ends in a uniqueString, 20 or 24 lower-case characters and digits in all
  #checkov:skip=CKV_AZURE_59:Public mode lets people drop files from anywhere, by identity alone; private mode closes it
  #checkov:skip=CKV_AZURE_35:Public mode lets everyone knock and no one in without an identity; private mode denies by default
  #checkov:skip=CKV_AZURE_206:Redundancy is the parameter storageRedundancy
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
      ipRules: [for address in addresses: { value: trim(address), action: 'Allow' }]
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
          allowedHeaders: ['content-type', 'x-ms-*']
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

// Versioning keeps what Kedja overwrites and deletes: its working state by the thousand.
resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-06-01' = {
  parent: account
  name: 'default'
  dependsOn: [blobs]
  properties: {
    policy: {
      rules: [
        {
          name: 'forgotten-markers'
          type: 'Lifecycle'
          definition: {
            // Only markers: a mark under .open lives as long as its job.
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: ['${names.containers.receipts}/${names.workingState.settling}']
            }
            actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: 1 } } }
          }
        }
        {
          name: 'versions-of-working-state'
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: [
                '${names.containers.receipts}/${names.workingState.settling}'
                '${names.containers.receipts}/${names.workingState.open}'
                '${names.containers.receipts}/${names.workingState.byTime}'
                '${names.containers.receipts}/${names.workingState.reconcile}'
              ]
            }
            actions: { version: { delete: { daysAfterCreationGreaterThan: 1 } } }
          }
        }
        {
          name: 'versions'
          type: 'Lifecycle'
          definition: {
            filters: { blobTypes: ['blockBlob'] }
            actions: { version: { delete: { daysAfterCreationGreaterThan: retentionDays } } }
          }
        }
      ]
    }
  }
}

output id string = account.id
output name string = account.name
output blobEndpoint string = account.properties.primaryEndpoints.blob
