"""What people would use in place of a language model, one method a file, measured on the same rows by the same metrics.

Each method is texts in, answers out; `contests` says which meet on which file, `__main__` prints what came of it.
"""
