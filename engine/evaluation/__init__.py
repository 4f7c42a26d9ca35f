"""How good a task's answers are: rows to measure on, metrics, intervals; and the runs of the product that they judge.

Nothing here prints, and nothing here is part of answering a person.
"""
