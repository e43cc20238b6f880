"""Lists of clips to score and of pairs to generate."""
