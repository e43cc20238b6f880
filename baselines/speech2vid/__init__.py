"""Speech2Vid: Chung, Jamaludin & Zisserman, "You said that?" (2017)."""
