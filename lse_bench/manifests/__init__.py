"""Lists of what there is to score and to generate."""
