"""Changes a serialised tf.train.Example, as damage or an odd writer would."""

from collections.abc import Callable


def edit(payload: bytes, key: str, change: Callable[[list], list] | None) -> bytes:
    """Replace the values of one key, or with an empty key of all; None takes the key out.

    Values keep their kind unless `change` returns bytes.
    """
    import tensorflow as tf

    example = tf.train.Example.FromString(payload)
    features = example.features.feature
    for name in [key] if key else list(features):
        if change is None:
            del features[name]
            continue
        feature = features[name]
        kind = feature.WhichOneof("kind")
        values = change(list(getattr(feature, kind).value))
        if values and isinstance(values[0], bytes):
            kind = "bytes_list"
        feature.Clear()
        getattr(feature, kind).SetInParent()
        getattr(feature, kind).value.extend(values)
    return example.SerializeToString()
