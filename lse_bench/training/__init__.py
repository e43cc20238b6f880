"""Training of networks: one loop for all methods, built on Lightning Fabric.

Each method states its networks, its losses and its data.
"""
