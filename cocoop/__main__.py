"""`python -m cocoop STAGE`."""

import sys

from cocoop.cli import main

sys.exit(main())
