// A budget of the resource group. It tells; it stops nothing.
param amount int
param startDate string
param alertEmails string
param actionGroupId string

var emails = filter(map(split(alertEmails, ','), email => trim(email)), email => !empty(email))

resource budget 'Microsoft.Consumption/budgets@2024-08-01' = {
  name: 'kedja'
  properties: {
    category: 'Cost'
    amount: amount
    timeGrain: 'Monthly'
    timePeriod: { startDate: startDate }
    notifications: {
      actual80: {
        enabled: true
        operator: 'GreaterThan'
        threshold: 80
        thresholdType: 'Actual'
        contactEmails: emails
        contactGroups: [actionGroupId]
      }
      forecast100: {
        enabled: true
        operator: 'GreaterThan'
        threshold: 100
        thresholdType: 'Forecasted'
        contactEmails: emails
        contactGroups: [actionGroupId]
      }
    }
  }
}
