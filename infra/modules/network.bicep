// Private mode: the network that the app stands in, and its subnet of private endpoints.
param location string
param tags object
param token string

var groups = ['app', 'endpoints']

// The default rules let nobody in from the internet; here it says so.
resource securityGroups 'Microsoft.Network/networkSecurityGroups@2025-07-01' = [
  for name in groups: {
    name: 'nsg-kedja-${name}-${token}'
    location: location
    tags: tags
    properties: {
      securityRules: [
        {
          name: 'nothing-from-the-internet'
          properties: {
            priority: 4000
            direction: 'Inbound'
            access: 'Deny'
            protocol: '*'
            sourceAddressPrefix: 'Internet'
            sourcePortRange: '*'
            destinationAddressPrefix: '*'
            destinationPortRange: '*'
          }
        }
      ]
    }
  }
]

resource vnet 'Microsoft.Network/virtualNetworks@2025-07-01' = {
  name: 'vnet-kedja-${token}'
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: ['10.40.0.0/22'] }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: '10.40.0.0/24'
          networkSecurityGroup: { id: securityGroups[0].id }
          delegations: [{ name: 'flex-consumption', properties: { serviceName: 'Microsoft.App/environments' } }]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: '10.40.1.0/24'
          networkSecurityGroup: { id: securityGroups[1].id }
          privateEndpointNetworkPolicies: 'Enabled'
        }
      }
    ]
  }
}

output securityGroupNames array = [securityGroups[0].name, securityGroups[1].name]
output vnetId string = vnet.id
output appSubnetId string = vnet.properties.subnets[0].id
output endpointSubnetId string = vnet.properties.subnets[1].id
