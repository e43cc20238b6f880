"""How far a measure can be believed: damage that it should see, changes that it should not see, and a card of both."""
