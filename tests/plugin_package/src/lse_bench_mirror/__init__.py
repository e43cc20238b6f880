"""A generator from another package."""

from lse_bench.generators.interface import FaceCrop, FaceGenerator

STRANGER = "not a generator"


class Mirror(FaceGenerator):
    """Turns every face upside down."""

    name = "mirror"
    settings = {"twice": "yes to turn it back again"}

    def __init__(self, options):
        self.twice = options.setting("twice", "no", ("yes", "no")) == "yes"

    def generate(self, faces, sound, seed):
        for face in faces:
            yield face if self.twice else FaceCrop(face.pixels[::-1], face.box)
