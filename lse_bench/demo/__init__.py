"""The demo: the scores of a small MiniLRS test set and of copies with known defects."""
