"""`python -m local_azure.functions_host`."""

import os
import sys

from local_azure.functions_host.host import main

if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that outlive the drain would keep the process alive; the real host ends its worker too.
    os._exit(status)
