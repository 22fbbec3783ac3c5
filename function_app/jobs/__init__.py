"""From a claimed attempt to an ended job."""
