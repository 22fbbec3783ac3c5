"""From the result of a job to a registered version and the champion."""
