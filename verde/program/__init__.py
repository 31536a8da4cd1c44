"""Why this package exists: a step is a public list of operators, so that two who disagree about it can find where."""
