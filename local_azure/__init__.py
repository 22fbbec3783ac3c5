"""Local implementations of the Azure services that Kedja uses: the whole system on one machine, without a cloud."""
