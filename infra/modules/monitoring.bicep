// Where logs go, and who hears of alerts.
param location string
param tags object
param token string
param retentionDays int

@description('Comma-separated addresses.')
param alertEmails string

var emails = filter(map(split(alertEmails, ','), email => trim(email)), email => !empty(email))

resource logs 'Microsoft.OperationalInsights/workspaces@2025-07-01' = {
  name: 'log-kedja-${token}'
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: retentionDays
    features: { disableLocalAuth: true, enableLogAccessUsingOnlyResourcePermissions: true }
    publicNetworkAccessForIngestion: 'Enabled'
    publicNetworkAccessForQuery: 'Enabled'
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: 'appi-kedja-${token}'
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: logs.id
    DisableLocalAuth: true
    RetentionInDays: retentionDays
  }
}

resource actionGroup 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-kedja-${token}'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'kedja'
    enabled: true
    emailReceivers: [
      for (email, i) in emails: { name: 'email${i}', emailAddress: email, useCommonAlertSchema: true }
    ]
  }
}

output logsId string = logs.id
output logsName string = logs.name
output insightsId string = insights.id
output insightsName string = insights.name
@description('No secret: with local authentication off it only says where telemetry goes.')
output insightsConnection string = insights.properties.ConnectionString
output actionGroupId string = actionGroup.id
