// What people and other systems may do. Each list is Type:objectId, comma-separated, as main.bicep describes.
param storageName string
param dataWriters string
param scriptWriters string
param readers string
param administrators string

@description('Type:objectId of the principal that runs the post-deploy hook, or nothing.')
param deployer string

var names = loadJsonContent('../names.json')
var roles = loadJsonContent('definitions.json')

// United, and without blanks: an entry that came twice would be two resources of one name, which Azure refuses. The hook
// ends with a smoke drop into data, whose receipt it reads, and uploads a release's code.
var deployers = empty(deployer) ? [] : [deployer]
var dataList = filter(split(replace(dataWriters, ' ', ''), ','), entry => !empty(entry))
var scriptList = filter(split(replace(scriptWriters, ' ', ''), ','), entry => !empty(entry))
var readList = filter(split(replace(readers, ' ', ''), ','), entry => !empty(entry))
var administratorList = filter(split(replace(administrators, ' ', ''), ','), entry => !empty(entry))
var dataPrincipals = union(dataList, deployers)
var scriptPrincipals = union(scriptList, [])
var readPrincipals = union(readList, [])
var administratorPrincipals = union(administratorList, deployers)

resource storage 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageName

  resource blobs 'blobServices' existing = {
    name: 'default'
  }
}

resource data 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = {
  parent: storage::blobs
  name: names.containers.data
}

resource scripts 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = {
  parent: storage::blobs
  name: names.containers.scripts
}

resource models 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = {
  parent: storage::blobs
  name: names.containers.models
}

resource receipts 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = {
  parent: storage::blobs
  name: names.containers.receipts
}

resource releases 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = {
  parent: storage::blobs
  name: names.containers.releases
}

resource writesData 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for entry in dataPrincipals: {
    name: guid(data.id, entry, roles.blobDataContributor)
    scope: data
    properties: {
      principalId: trim(split(entry, ':')[1])
      principalType: trim(split(entry, ':')[0])
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataContributor)
    }
  }
]

resource writesScripts 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for entry in scriptPrincipals: {
    name: guid(scripts.id, entry, roles.blobDataContributor)
    scope: scripts
    properties: {
      principalId: trim(split(entry, ':')[1])
      principalType: trim(split(entry, ':')[0])
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataContributor)
    }
  }
]

resource readsReceipts 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for entry in readPrincipals: {
    name: guid(receipts.id, entry, roles.blobDataReader)
    scope: receipts
    properties: {
      principalId: trim(split(entry, ':')[1])
      principalType: trim(split(entry, ':')[0])
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataReader)
    }
  }
]

resource readsModels 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for entry in readPrincipals: {
    name: guid(models.id, entry, roles.blobDataReader)
    scope: models
    properties: {
      principalId: trim(split(entry, ':')[1])
      principalType: trim(split(entry, ':')[0])
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataReader)
    }
  }
]

// A principal that writes receipts can make an API key with the role code: this list is shorter than any other.
resource writesReceipts 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for entry in administratorPrincipals: {
    name: guid(receipts.id, entry, roles.blobDataContributor)
    scope: receipts
    properties: {
      principalId: trim(split(entry, ':')[1])
      principalType: trim(split(entry, ':')[0])
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataContributor)
    }
  }
]

resource uploadsRelease 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for entry in deployers: {
    name: guid(releases.id, entry, roles.blobDataContributor)
    scope: releases
    properties: {
      principalId: trim(split(entry, ':')[1])
      principalType: trim(split(entry, ':')[0])
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataContributor)
    }
  }
]
