// The workspace must have a vault. Kedja itself keeps no secret.
param location string
param tags object
param token string
@description('Enabled or Disabled.')
param publicNetworkAccess string

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  // checkov:skip=CKV_AZURE_189:Public mode reaches the vault by identity alone; private mode closes it
  // checkov:skip=CKV_AZURE_109:Public mode lets everyone knock and no one in without an identity; private mode denies by default
  name: 'kv-kedja-${token}'
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 7
    enablePurgeProtection: true
    publicNetworkAccess: publicNetworkAccess
    networkAcls: {
      defaultAction: publicNetworkAccess == 'Enabled' ? 'Allow' : 'Deny'
      bypass: 'AzureServices'
    }
  }
}

output id string = vault.id
output name string = vault.name
