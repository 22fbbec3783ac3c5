// The app, on Flex Consumption, with one user-assigned identity for everything it does.
param name string
param location string
param tags object
param token string
param insightsConnection string
param identityId string
param identityClientId string
param storageName string
param hostStorageName string
param packageContainer string
param workspaceName string
param eventGridEndpoint string
param trainingCode string
param trainingEnvironment string
param entraClientId string
param eventOrigins string
param maxJobs int
param approvals string
param maxJobsPerExperiment int
param maxPreemptions int
param keepSnapshots int
param keepReceipts int
param keepModels int
param maximumInstances int
param httpConcurrency int
param isPrivate bool
param allowedAddresses string
param subnetId string
param endpointSubnetId string
param siteZoneId string

var names = loadJsonContent('../names.json')
var suffix = environment().suffixes.storage
var addresses = filter(map(split(allowedAddresses, ','), address => trim(address)), address => !empty(address))
var hasSignIn = !empty(entraClientId)

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  // checkov:skip=CKV_AZURE_225:Flex Consumption has no instances to spread while nothing runs; zone redundancy is for plans with always-ready ones
  name: 'plan-kedja-${token}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  // checkov:skip=CKV_AZURE_212:Flex Consumption starts instances when there is work
  // checkov:skip=CKV_AZURE_213:Flex Consumption has no health check by path; /api/health tells people and monitors
  // checkov:skip=CKV_AZURE_17:Callers are known by tokens and keys; client certificates would shut out Event Grid
  // checkov:skip=CKV_AZURE_222:Public mode: people and Event Grid call it, and every route asks who; private mode closes it
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': 'app' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: isPrivate && empty(addresses) ? 'Disabled' : 'Enabled'
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: 'https://${hostStorageName}.blob.${suffix}/${packageContainer}'
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identityId }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: 2048
        maximumInstanceCount: maximumInstances
        // Without this a Python app gets one request per instance, and each open page would keep an instance running.
        triggers: { http: { perInstanceConcurrency: httpConcurrency } }
      }
      runtime: { name: 'python', version: '3.13' }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
      remoteDebuggingEnabled: false
      scmIpSecurityRestrictionsUseMain: true
      ipSecurityRestrictionsDefaultAction: isPrivate ? 'Deny' : 'Allow'
      ipSecurityRestrictions: [
        for (address, i) in addresses: {
          name: 'allowed${i}'
          ipAddress: contains(address, '/') ? address : '${address}/32'
          action: 'Allow'
          priority: 100 + i
        }
      ]
    }
  }
}

// The post-deploy hook writes KEDJA_TRAINING_CODE and KEDJA_ENVIRONMENT when it has registered them, and azd hands both
// back as parameters, so that the next pass does not take them away.
resource settings 'Microsoft.Web/sites/config@2025-03-01' = {
  // checkov:skip=CKV_AZURE_13:Sign-in is sign-in.bicep; without an app registration the app knows callers by its own keys
  // checkov:skip=CKV_AZURE_63:Flex Consumption has no web server logs; requests are in Application Insights
  // checkov:skip=CKV_AZURE_65:Flex Consumption has no web server pages; errors are in Application Insights
  // checkov:skip=CKV_AZURE_66:Flex Consumption has no web server traces; requests are in Application Insights
  // checkov:skip=CKV_AZURE_80:The app is Python
  // checkov:skip=CKV_AZURE_88:Flex Consumption takes its package from a blob container and mounts no Azure Files
  // checkov:skip=CKV_AZURE_222:Public network access is a property of the site, not of these settings
  parent: app
  name: 'appsettings'
  properties: {
    AzureWebJobsStorage__credential: 'managedidentity'
    AzureWebJobsStorage__clientId: identityClientId
    AzureWebJobsStorage__blobServiceUri: 'https://${hostStorageName}.blob.${suffix}'
    AzureWebJobsStorage__queueServiceUri: 'https://${hostStorageName}.queue.${suffix}'
    AzureWebJobsStorage__tableServiceUri: 'https://${hostStorageName}.table.${suffix}'
    AzureWebJobsDisableHomepage: 'true'
    PYTHON_SCRIPT_FILE_NAME: names.script
    APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnection
    APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
    AZURE_CLIENT_ID: identityClientId
    KedjaStorage__credential: 'managedidentity'
    KedjaStorage__clientId: identityClientId
    KedjaStorage__blobServiceUri: 'https://${storageName}.blob.${suffix}'
    KedjaStorage__queueServiceUri: 'https://${storageName}.queue.${suffix}'
    KEDJA_AUTH: hasSignIn ? 'easy-auth' : 'keys'
    KEDJA_EVENT_ORIGINS: eventOrigins
    KEDJA_APPROVALS: approvals
    KEDJA_MAX_JOBS: string(maxJobs)
    KEDJA_MAX_JOBS_PER_EXPERIMENT: string(maxJobsPerExperiment)
    KEDJA_MAX_PREEMPTIONS: string(maxPreemptions)
    KEDJA_KEEP_SNAPSHOTS: string(keepSnapshots)
    KEDJA_KEEP_RECEIPTS: string(keepReceipts)
    KEDJA_KEEP_MODELS: string(keepModels)
    KEDJA_EVENT_GRID_ENDPOINT: eventGridEndpoint
    KEDJA_COMPUTE: names.compute
    KEDJA_ENVIRONMENT: trainingEnvironment
    KEDJA_TRAINING_CODE: trainingCode
    KEDJA_WORKSPACE_SUBSCRIPTION_ID: subscription().subscriptionId
    KEDJA_WORKSPACE_RESOURCE_GROUP: resourceGroup().name
    KEDJA_WORKSPACE_NAME: workspaceName
  }
}

resource ftp 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'ftp'
  properties: { allow: false }
}

resource scm 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'scm'
  properties: { allow: false }
}

resource endpoint 'Microsoft.Network/privateEndpoints@2025-07-01' = if (isPrivate) {
  name: 'pep-kedja-app-${token}'
  location: location
  tags: tags
  properties: {
    subnet: { id: endpointSubnetId }
    privateLinkServiceConnections: [
      { name: 'app', properties: { privateLinkServiceId: app.id, groupIds: ['sites'] } }
    ]
  }
}

resource record 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-07-01' = if (isPrivate) {
  parent: endpoint
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [{ name: 'app', properties: { privateDnsZoneId: siteZoneId } }]
  }
}

output name string = app.name
output url string = 'https://${app.properties.defaultHostName}'
