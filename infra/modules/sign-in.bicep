// Sign-in with Entra ID before the app: bearer tokens alone, so there is no secret. The app itself asks for the role,
// and what is left open here it guards by itself.
param functionAppName string
param entraClientId string

resource app 'Microsoft.Web/sites@2025-03-01' existing = {
  name: functionAppName
}

resource signIn 'Microsoft.Web/sites/config@2025-03-01' = {
  // checkov:skip=CKV_AZURE_13:Sign-in is what these settings turn on
  // checkov:skip=CKV_AZURE_63:Flex Consumption has no web server logs; requests are in Application Insights
  // checkov:skip=CKV_AZURE_65:Flex Consumption has no web server pages; errors are in Application Insights
  // checkov:skip=CKV_AZURE_66:Flex Consumption has no web server traces; requests are in Application Insights
  // checkov:skip=CKV_AZURE_80:The app is Python
  // checkov:skip=CKV_AZURE_88:Flex Consumption takes its package from a blob container and mounts no Azure Files
  // checkov:skip=CKV_AZURE_222:Public network access is a property of the site, not of its sign-in
  parent: app
  name: 'authsettingsV2'
  properties: {
    platform: { enabled: true, runtimeVersion: '~1' }
    globalValidation: {
      requireAuthentication: true
      unauthenticatedClientAction: 'Return401'
      excludedPaths: ['/api/health', '/runtime/webhooks/EventGrid']
    }
    httpSettings: { requireHttps: true }
    identityProviders: {
      azureActiveDirectory: {
        enabled: true
        registration: {
          clientId: entraClientId
          openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
        }
        validation: { allowedAudiences: [entraClientId, 'api://${entraClientId}'] }
      }
    }
    login: { tokenStore: { enabled: false } }
  }
}
