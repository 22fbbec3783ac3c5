"""`python -m local_azure.event_grid`."""

import sys

from local_azure.event_grid.server import main

if __name__ == "__main__":
    sys.exit(main())
