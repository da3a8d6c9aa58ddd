"""Writes the RLDS folder that benchmarks read, with a tfds builder, in the layout of LIBERO; prints where it lies."""

import argparse

import numpy as np
import simplejpeg
import tensorflow_datasets as tfds

SIDE = 256


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir")
    parser.add_argument("--episodes", type=int, default=24)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--side", type=int, default=SIDE, help="of both views, in pixels")
    parser.add_argument("--noise", type=float, default=12.0, help="of the camera, in levels")
    parser.add_argument("--quality", type=int, default=95, help="of the JPEGs")
    parser.add_argument("--embedding", type=int, default=512, help="numbers that come with each step, of no use to us")
    return parser.parse_args()


WANTED = arguments()


NUM_NOISES = 16


def scene(random: np.random.Generator) -> np.ndarray:
    """Make smooth blobs of colour; the noise of a camera is added for each step."""
    coarse = random.integers(0, 255, (24, 24, 3)).astype(np.float32)
    at = np.linspace(0, 23, WANTED.side)
    rows = np.stack([np.interp(at, np.arange(24), column) for column in coarse.reshape(24, -1).T], axis=1)
    both = rows.reshape(WANTED.side, 24, 3).transpose(1, 0, 2).reshape(24, -1)
    smooth = np.stack([np.interp(at, np.arange(24), column) for column in both.T], axis=1)
    return smooth.reshape(WANTED.side, WANTED.side, 3).transpose(1, 0, 2)


def noises(random: np.random.Generator) -> list[np.ndarray]:
    """Draw noise in advance: drawing takes ten times as long as encoding."""
    shape = (WANTED.side, WANTED.side, 3)
    return [WANTED.noise * random.standard_normal(shape, dtype=np.float32) for _ in range(NUM_NOISES)]


def picture(random: np.random.Generator, base: np.ndarray, pool: list[np.ndarray]) -> bytes:
    """Encode a scene with noise that no other picture has at the same place."""
    noise = np.roll(pool[random.integers(NUM_NOISES)], random.integers(WANTED.side, size=2), axis=(0, 1))
    noisy = np.clip(base + noise, 0, 255).astype(np.uint8)
    return simplejpeg.encode_jpeg(noisy, WANTED.quality, "RGB", "420")


class Bench(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")
    url_infos: dict = {}  # noqa: RUF012  (none are downloaded; tfds would look for a checksum file)

    def _info(self) -> tfds.core.DatasetInfo:
        f = tfds.features
        shape = (WANTED.side, WANTED.side, 3)
        image = {name: f.Image(shape=shape, encoding_format="jpeg") for name in ("image", "wrist_image")}
        step = {
            "observation": f.FeaturesDict({**image, "state": f.Tensor(shape=(8,), dtype=np.float32)}),
            "action": f.Tensor(shape=(7,), dtype=np.float32),
            "is_first": np.bool_,
            "language_instruction": f.Text(),
            "language_embedding": f.Tensor(shape=(WANTED.embedding,), dtype=np.float32),
        }
        return tfds.core.DatasetInfo(builder=self, features=f.FeaturesDict({"steps": f.Dataset(step)}))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        random = np.random.default_rng(0)
        pool = noises(random)
        for episode in range(WANTED.episodes):
            base = scene(random)
            steps = [
                {
                    "observation": {
                        "image": picture(random, base, pool),
                        "wrist_image": picture(random, base, pool),
                        "state": random.normal(size=8).astype(np.float32),
                    },
                    "action": random.uniform(-1, 1, size=7).astype(np.float32),
                    "is_first": i == 0,
                    "language_instruction": "wipe the table",
                    "language_embedding": random.normal(size=WANTED.embedding).astype(np.float32),
                }
                for i in range(WANTED.steps)
            ]
            yield episode, {"steps": steps}


if __name__ == "__main__":
    tfds.disable_progress_bar()
    builder = Bench(data_dir=WANTED.data_dir)
    builder.download_and_prepare()
    print(builder.data_dir)
