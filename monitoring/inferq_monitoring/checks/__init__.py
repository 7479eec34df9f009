"""The checks of `inferq doctor`: each asks one part of the system and judges the answer.

Judging is apart from asking: functions of values, so that every finding can be tested without what it is about.
"""
