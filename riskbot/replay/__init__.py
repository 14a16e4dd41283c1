"""What rules would have done: recordings, what is counted while they are played, and what is told of it.

replies.py, stories.py: where entries come from. tally.py: what is counted. report.py: what is told of it.
"""
