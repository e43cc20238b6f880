"""The work of the commands as functions with typed options. Commands, benchmarks and the Python API call them."""
