"""What all tests share."""

from hypothesis import settings

# A slow machine is no finding.
settings.register_profile("riskbot", deadline=None)
settings.load_profile("riskbot")
