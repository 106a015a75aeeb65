"""`python -m cocoop STAGE`, in this process or, for a workflow's stages, in a fork of one that has imported torch."""

import sys

from cocoop.forkserver import client

code = client.run(sys.argv[1:])
if code is None:
    from cocoop.cli import main

    code = main()
sys.exit(code)
