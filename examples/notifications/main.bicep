// Tells people: a Logic App (Consumption) that takes Kedja's events and posts them into a chat, or mails them, or both.
// docs/events.md tells how to use it. Mail is sent with the Logic App's own identity, so there is no key.
param location string = resourceGroup().location

@secure()
@description('Address of a chat\'s incoming webhook, which takes {"text": …}. Empty: no chat.')
param chatAddress string = ''

@description('Who gets mail. Empty: nobody.')
param mailTo string = ''

@description('Where Azure Communication Services keeps what it sends.')
param mailLocation string = 'Europe'

var hasMail = !empty(mailTo)
// Communication and Email Service Owner: the narrowest of Azure's own roles that sends mail.
var sendsMail = '09976791-48a7-449e-bb21-39d1a415f350'

resource mail 'Microsoft.Communication/emailServices@2023-04-01' = if (hasMail) {
  name: 'kedja-mail-${uniqueString(resourceGroup().id)}'
  location: 'global'
  properties: { dataLocation: mailLocation }

  resource domain 'domains' = {
    name: 'AzureManagedDomain'
    location: 'global'
    properties: { domainManagement: 'AzureManaged' }
  }
}

resource communication 'Microsoft.Communication/communicationServices@2023-04-01' = if (hasMail) {
  name: 'kedja-people-${uniqueString(resourceGroup().id)}'
  location: 'global'
  properties: { dataLocation: mailLocation, linkedDomains: [mail::domain.id] }
}

resource people 'Microsoft.Logic/workflows@2019-05-01' = {
  name: 'kedja-people'
  location: location
  identity: { type: 'SystemAssigned' }
  properties: {
    state: 'Enabled'
    definition: loadJsonContent('workflow.json')
    parameters: {
      chatAddress: { value: chatAddress }
      mailEndpoint: { value: hasMail ? 'https://${communication!.properties.hostName}' : '' }
      mailFrom: { value: hasMail ? 'DoNotReply@${mail::domain!.properties.mailFromSenderDomain}' : '' }
      mailTo: { value: mailTo }
    }
  }
}

resource peopleSendMail 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (hasMail) {
  name: guid(communication.id, people.id, sendsMail)
  scope: communication
  properties: {
    principalId: people.identity.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', sendsMail)
  }
}
