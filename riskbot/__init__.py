"""riskbot: the watchman for leveraged OKX accounts."""

__version__ = "0.1.0"
