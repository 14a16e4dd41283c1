"""What rules would have done: recordings, what is counted while they are played, and what is told of it.

recordings.py: what can be played; replies.py, stories.py: where entries come from. run.py: one set of rules, played.
tally.py: what is counted. report.py: what is told of it. trial.py: all that is asked of one replay.
"""
