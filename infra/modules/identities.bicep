// The three identities. What each may do stands in roles/.
param location string
param tags object
param token string

@description('The function app.')
resource app 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-kedja-app-${token}'
  location: location
  tags: tags
}

@description('Jobs on the cluster, and so whatever code is dropped.')
resource job 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-kedja-job-${token}'
  location: location
  tags: tags
}

@description('The Azure ML workspace itself.')
resource workspace 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-kedja-workspace-${token}'
  location: location
  tags: tags
}

output appId string = app.id
output appClientId string = app.properties.clientId
output appPrincipalId string = app.properties.principalId
output jobId string = job.id
output jobPrincipalId string = job.properties.principalId
output workspaceId string = workspace.id
output workspacePrincipalId string = workspace.properties.principalId
