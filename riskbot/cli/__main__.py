"""`python -m riskbot.cli`."""

from riskbot.cli import main

main()
