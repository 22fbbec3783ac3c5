// Private mode: an endpoint in the network for everything that the app and people in the network talk to.
param location string
param tags object
param token string
param vnetId string
param subnetId string
param storageId string
param hostStorageId string
param vaultId string
param registryId string
param workspaceId string
param topicId string

var suffix = environment().suffixes.storage
var zoneNames = [
  'privatelink.blob.${suffix}'
  'privatelink.queue.${suffix}'
  'privatelink.table.${suffix}'
  'privatelink.vaultcore.azure.net'
  'privatelink.azurecr.io'
  'privatelink.api.azureml.ms'
  'privatelink.notebooks.azure.net'
  'privatelink.eventgrid.azure.net'
  'privatelink.azurewebsites.net'
]
var targets = [
  { name: 'blob', id: storageId, group: 'blob', zones: [0] }
  { name: 'queue', id: storageId, group: 'queue', zones: [1] }
  { name: 'host-blob', id: hostStorageId, group: 'blob', zones: [0] }
  { name: 'host-queue', id: hostStorageId, group: 'queue', zones: [1] }
  { name: 'host-table', id: hostStorageId, group: 'table', zones: [2] }
  { name: 'vault', id: vaultId, group: 'vault', zones: [3] }
  { name: 'registry', id: registryId, group: 'registry', zones: [4] }
  { name: 'workspace', id: workspaceId, group: 'amlworkspace', zones: [5, 6] }
  { name: 'topic', id: topicId, group: 'topic', zones: [7] }
]

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for zone in zoneNames: {
    name: zone
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (zone, i) in zoneNames: {
    parent: zones[i]
    name: 'kedja'
    location: 'global'
    properties: { registrationEnabled: false, virtualNetwork: { id: vnetId } }
  }
]

resource endpoints 'Microsoft.Network/privateEndpoints@2025-07-01' = [
  for target in targets: {
    name: 'pep-kedja-${target.name}-${token}'
    location: location
    tags: tags
    properties: {
      subnet: { id: subnetId }
      privateLinkServiceConnections: [
        { name: target.name, properties: { privateLinkServiceId: target.id, groupIds: [target.group] } }
      ]
    }
  }
]

resource records 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-07-01' = [
  for (target, i) in targets: {
    parent: endpoints[i]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        for zone in target.zones: {
          name: replace(zoneNames[zone], '.', '-')
          properties: { privateDnsZoneId: zones[zone].id }
        }
      ]
    }
  }
]

@description('Where the function app\'s own endpoint has its name: the app is made after the others.')
output siteZoneId string = zones[8].id
