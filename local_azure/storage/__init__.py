"""The local storage account: Azurite, and a proxy that adds the events it lacks."""
