"""What each stage is told, as frozen types: what is missing or misspelt cannot be planned.

A module for each stage: a stage's cache key follows what it imports, and another stage's parameters
are none of its business.
"""
