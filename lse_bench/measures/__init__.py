"""Measures beside LSE-D and LSE-C, built in and of other packages."""
