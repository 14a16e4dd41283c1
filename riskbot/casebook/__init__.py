"""Cases of rules: what an account does, and the complete list of messages that must come of it.

    Book ──▶ Setup: case, rules file, Course ──▶ play: the real Service on a Disk, in a virtual loop ──▶ Played
             Course ─reply─▶ Exchange (a Source)        Phone (a Notifier) ─message─▶ Ear: Heard
    Played ──▶ findings: is all that was heard expected, and all that is expected heard?
    the same with each mutant of a rule ──▶ those that no case finds out

Nothing of the service is imitated: rules, judge, planner, store, couriers, retries and reload are those of `riskbot
run`. Only time, the exchange and the receivers are the case's.
"""
