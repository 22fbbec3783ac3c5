// The workspace's own container, named after the workspace's GUID, which is known only when the workspace is there.
param storageName string
param workspaceGuid string

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageName

  resource blobs 'blobServices' existing = {
    name: 'default'
  }
}

resource container 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: account::blobs
  name: 'azureml-blobstore-${workspaceGuid}'
  properties: { publicAccess: 'None' }
}

output name string = container.name
