// What somebody has to hear of: failed jobs, poison, dead letters, errors of the app.
param location string
param tags object
param logsId string
param actionGroupId string
param workspaceId string
param storageTopicId string
param workspaceTopicId string

var names = loadJsonContent('../names.json')
var quarter = 'PT15M'
var every5Minutes = 'PT5M'
var poisonList = join(names.poisonFunctions, '\', \'')

// An event that lands in dead-letter, and one that did not even get there.
var lostAdvice = 'Event Grid could not deliver an event. Look into dead-letter; reconciliation finds the drop.'
var lost = [
  { name: 'dropped-files', topicId: storageTopicId, metric: 'DeadLetteredCount' }
  { name: 'dropped-files', topicId: storageTopicId, metric: 'DroppedEventCount' }
  { name: 'runs', topicId: workspaceTopicId, metric: 'DeadLetteredCount' }
  { name: 'runs', topicId: workspaceTopicId, metric: 'DroppedEventCount' }
]

// Its receipt says why and what to do.
resource failedJobs 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'kedja-failed-jobs'
  location: 'global'
  tags: tags
  properties: {
    severity: 2
    enabled: true
    scopes: [workspaceId]
    evaluationFrequency: every5Minutes
    windowSize: quarter
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          name: 'failed'
          criterionType: 'StaticThresholdCriterion'
          metricNamespace: 'Microsoft.MachineLearningServices/workspaces'
          metricName: 'Failed Runs'
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    actions: [
      {
        actionGroupId: actionGroupId
        webHookProperties: { what: 'A job failed: its receipt says why and what to do.' }
      }
    ]
  }
}

resource lostEvents 'Microsoft.Insights/metricAlerts@2018-03-01' = [
  for each in lost: {
    name: 'kedja-${each.name}-${each.metric}'
    location: 'global'
    tags: tags
    properties: {
      severity: 1
      enabled: true
      scopes: [each.topicId]
      evaluationFrequency: every5Minutes
      windowSize: quarter
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            name: 'lost'
            criterionType: 'StaticThresholdCriterion'
            metricNamespace: 'Microsoft.EventGrid/systemTopics'
            metricName: each.metric
            timeAggregation: 'Total'
            operator: 'GreaterThan'
            threshold: 0
          }
        ]
      }
      actions: [{ actionGroupId: actionGroupId, webHookProperties: { what: lostAdvice } }]
    }
  }
]

// The functions on the poison queues run only when a message has failed ten times.
resource poison 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: 'kedja-poison'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'Kedja: poison messages'
    severity: 1
    enabled: true
    scopes: [logsId]
    evaluationFrequency: every5Minutes
    windowSize: quarter
    autoMitigate: false
    skipQueryValidation: true // before the first request the table is not there
    criteria: {
      allOf: [
        {
          query: 'AppRequests | where Name in (\'${poisonList}\')'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
        }
      ]
    }
    actions: {
      actionGroups: [actionGroupId]
      customProperties: { what: 'A message failed ten times. It is kept in receipts/.poison/ with its reason.' }
    }
  }
}

// A single failure is tried again and needs nobody.
resource errors 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: 'kedja-function-errors'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'Kedja: functions fail'
    severity: 2
    enabled: true
    scopes: [logsId]
    evaluationFrequency: every5Minutes
    windowSize: quarter
    autoMitigate: true
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: 'AppRequests | where Success == false and coalesce(toint(ResultCode), 0) !between (400 .. 499)'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 5
          failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
        }
      ]
    }
    actions: {
      actionGroups: [actionGroupId]
      customProperties: { what: 'More than five invocations failed within a quarter of an hour: see AppExceptions.' }
    }
  }
}
