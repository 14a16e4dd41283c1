"""Setting riskbot up: keys, receivers and rules that are tried before they are believed."""
