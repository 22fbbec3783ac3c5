"""The credentials of the local stack: published, the same on every machine, and no secrets.

Every local server listens on the loopback interface only, and `port_guard` keeps web pages out.
"""

import base64
from typing import Final

ACCOUNT_NAME: Final = "devstoreaccount1"
ACCOUNT_KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's account and key.

https://learn.microsoft.com/azure/storage/common/storage-connect-azurite#well-known-storage-account-and-key
"""

TOPIC_KEY: Final = base64.b64encode(b"the key of Kedja's local topics").decode()
"""The access key of every topic of the local Event Grid."""
