// Where the workspace keeps the images of its environments.
param location string
param tags object
param token string
param isPrivate bool

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' = {
  // checkov:skip=CKV_AZURE_139:Public mode reaches the registry by identity alone; private mode closes it
  // checkov:skip=CKV_AZURE_163:Scanning is Microsoft Defender for Containers, which is bought for a subscription
  // checkov:skip=CKV_AZURE_166:Quarantine needs a scanner that lets images out again; the workspace alone pushes here
  name: 'crkedja${token}'
  location: location
  tags: tags
  sku: { name: isPrivate ? 'Premium' : 'Basic' } // only Premium has private endpoints
  properties: {
    adminUserEnabled: false
    anonymousPullEnabled: false
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    networkRuleBypassOptions: 'AzureServices'
  }
}

output id string = registry.id
output name string = registry.name
