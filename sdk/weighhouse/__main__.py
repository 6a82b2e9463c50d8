"""`python -m weighhouse`."""

import sys

from weighhouse.cli import main

sys.exit(main())
