// One page of drops, jobs, GPU hours and what they cost.
param location string
param tags object
param logsId string
param storageName string

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, 'kedja-workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Kedja'
    category: 'workbook'
    version: 'Notebook/1.0'
    sourceId: logsId
    serializedData: replace(replace(loadTextContent('../workbook.json'), '@@LOGS@@', logsId), '@@STORAGE@@', storageName)
  }
}
