"""LipGAN: Prajwal et al., "Towards Automatic Face-to-Face Translation" (2019)."""
