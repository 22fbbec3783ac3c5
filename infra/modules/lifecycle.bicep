// What goes by itself in the account that people drop files into. An account has one policy, so all rules are here.
param storageName string
param workspaceContainerName string
param retentionDays int

var names = loadJsonContent('../names.json')

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageName
}

// Versioning keeps what Kedja overwrites and deletes: its working state by the thousand.
resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-06-01' = {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'forgotten-markers'
          type: 'Lifecycle'
          definition: {
            // A mark under .open lives as long as its job, so it is not among these.
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: ['${names.containers.receipts}/${names.workingState.settling}']
            }
            actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: 1 } } }
          }
        }
        {
          name: 'journal'
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['appendBlob']
              prefixMatch: ['${names.containers.receipts}/${names.workingState.journal}']
            }
            actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: 30 } } }
          }
        }
        {
          name: 'records-of-requests'
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: [
                '${names.containers.receipts}/${names.workingState.idempotency}'
                '${names.containers.receipts}/${names.workingState.uploads}'
                '${names.containers.receipts}/${names.workingState.replayed}'
                // Of those that failed; what was answered is deleted at once.
                '${names.containers.snapshots}/${names.workingState.requests}'
              ]
            }
            actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: 90 } } }
          }
        }
        {
          name: 'checkpoints'
          type: 'Lifecycle'
          definition: {
            // A job removes its own when it is done; these are of jobs that failed, were canceled, or were deleted.
            filters: {
              blobTypes: ['blockBlob', 'appendBlob']
              prefixMatch: ['${workspaceContainerName}/${names.checkpoints}']
            }
            actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: 30 } } }
          }
        }
        {
          name: 'versions-of-working-state'
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: [
                '${names.containers.receipts}/${names.workingState.settling}'
                '${names.containers.receipts}/${names.workingState.open}'
                '${names.containers.receipts}/${names.workingState.byTime}'
                '${names.containers.receipts}/${names.workingState.reconcile}'
                '${names.containers.receipts}/${names.workingState.walk}'
                '${names.containers.receipts}/${names.workingState.running}'
                '${names.containers.receipts}/${names.workingState.queued}'
                '${names.containers.receipts}/${names.workingState.retention}'
                '${names.containers.snapshots}/${names.workingState.requests}'
              ]
            }
            actions: { version: { delete: { daysAfterCreationGreaterThan: 1 } } }
          }
        }
        {
          name: 'versions'
          type: 'Lifecycle'
          definition: {
            filters: { blobTypes: ['blockBlob'] }
            actions: { version: { delete: { daysAfterCreationGreaterThan: retentionDays } } }
          }
        }
      ]
    }
  }
}
