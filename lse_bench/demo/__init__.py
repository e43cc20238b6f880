"""The demo: a small MiniLRS test set, spoiled in known ways, and what the scores make of it."""
