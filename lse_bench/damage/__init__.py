"""Known damage in steps: what a measure should see, so that it can be tried and trained."""
