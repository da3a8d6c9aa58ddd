"""Writes the RLDS folder that benchmarks read, with a tfds builder; prints where it lies."""

import sys

import numpy as np
import simplejpeg
import tensorflow_datasets as tfds

NUM_EPISODES, NUM_STEPS, SIDE = 24, 60, 256


def picture(random: np.random.Generator, base: np.ndarray) -> bytes:
    noisy = np.clip(base + random.normal(0, 12, base.shape), 0, 255).astype(np.uint8)
    return simplejpeg.encode_jpeg(noisy, quality=95)


class Bench(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")
    url_infos: dict = {}  # noqa: RUF012  (none are downloaded; tfds would look for a checksum file)

    def _info(self) -> tfds.core.DatasetInfo:
        f = tfds.features
        image = {name: f.Image(shape=(SIDE, SIDE, 3), encoding_format="jpeg") for name in ("image", "wrist_image")}
        vector = f.Tensor(shape=(7,), dtype=np.float32)
        step = {
            "observation": f.FeaturesDict({**image, "state": vector}),
            "action": vector,
            "is_first": np.bool_,
            "language_instruction": f.Text(),
        }
        return tfds.core.DatasetInfo(builder=self, features=f.FeaturesDict({"steps": f.Dataset(step)}))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        random = np.random.default_rng(0)
        for episode in range(NUM_EPISODES):
            base = random.integers(0, 255, (16, 16, 3)).repeat(16, 0).repeat(16, 1)
            steps = [
                {
                    "observation": {
                        "image": picture(random, base),
                        "wrist_image": picture(random, base),
                        "state": random.normal(size=7).astype(np.float32),
                    },
                    "action": random.normal(size=7).astype(np.float32),
                    "is_first": i == 0,
                    "language_instruction": "wipe the table",
                }
                for i in range(NUM_STEPS)
            ]
            yield episode, {"steps": steps}


if __name__ == "__main__":
    tfds.disable_progress_bar()
    builder = Bench(data_dir=sys.argv[1])
    builder.download_and_prepare()
    print(builder.data_dir)
