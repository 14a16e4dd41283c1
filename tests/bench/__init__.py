"""What riskbot costs, as ratios measured in one run against the same server on this machine."""
