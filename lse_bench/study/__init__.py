"""People's votes on talking-face videos: reading, strengths of methods, and agreement with measures."""
