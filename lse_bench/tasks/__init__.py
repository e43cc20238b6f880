"""What the commands do, as functions of typed options: the commands, benchmarks and the Python API call them."""
