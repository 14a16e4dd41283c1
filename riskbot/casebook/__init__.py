"""Cases of rules, played on the real service in virtual time."""
