"""Labels written by hand: latent actions that hold the true motion in the plane, or noise."""

import numpy as np
import pyarrow as pa

from dataengine.windows import labels
from dataengine.windows.window import LatentInfo


def write_labels(corpus, name, *, knows, interval_s=0.4, seed=0):
    """Label every episode with (2, 2) numbers; with `knows` the first two are how far the hand moved."""
    info = LatentInfo(name=name, fingerprint=name, k=2, d=2, interval_s=interval_s)
    schema = labels.label_fields(info, "primary")
    corpus.ensure_columns(schema)
    for fragment in corpus.fragment_ids():
        values = []
        for row in corpus.fragment_table(fragment, ["episode_id", "control_hz"]).to_pylist():
            episode = corpus.episode(row["episode_id"])
            stride = max(1, int(interval_s * row["control_hz"] + 1e-6))
            draw_from = np.random.default_rng([episode.row, seed])
            latent = draw_from.normal(size=(episode.num_steps, 4)).astype(np.float32)
            if knows and episode.state is not None:
                latent[:-stride, :2] = episode.state[stride:, :2] - episode.state[:-stride, :2]
            codes = np.zeros((episode.num_steps, 2), np.int16)
            codes[-stride:] = -1
            values.append(
                dict(zip(["_rowid", *schema.names], [row["_rowid"], latent.ravel(), codes.ravel()], strict=True))
            )
        table = pa.Table.from_pylist(values, schema=pa.schema([("_rowid", pa.uint64()), *schema]))
        corpus.update_fragment(fragment, table)
