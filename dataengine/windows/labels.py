"""Latent actions at rest: two columns of `episodes.lance` for each model, which say in their metadata who made them.

`latent__<name>` holds (t, k, d) codebook vectors, flat, and `codes__<name>` their (t, k) codes. Row i describes frame
i to frame i + K. Where that frame lies beyond the episode's end, codes are -1 and vectors 0.
"""

import re
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from dataengine.naming import did_you_mean
from dataengine.windows.window import LatentInfo

NO_CODE: Final = -1
_LATENT, _CODES = "latent__", "codes__"


def latent_column(name: str) -> str:
    """Column of the vectors."""
    return _LATENT + name


def codes_column(name: str) -> str:
    """Column of the codes."""
    return _CODES + name


def label_name(wish: str) -> str:
    """Turn a model's name into one that a column can carry."""
    name = re.sub(r"[^a-z0-9_]+", "_", wish.lower()).strip("_")
    if not name:
        raise DataEngineError(f"label name '{wish}' has no letter or digit; give one such as 'lam_base'")
    return name


def label_fields(info: LatentInfo, slot: str) -> pa.Schema:
    """Declare the two columns, with their origin as metadata."""
    metadata = {
        "villa:lam_fingerprint": info.fingerprint,
        "villa:k": str(info.k),
        "villa:d": str(info.d),
        "villa:interval_s": repr(info.interval_s),
        "villa:past_frames": str(info.past_frames).lower(),
        "villa:precision": info.precision,
        "villa:slot": slot,
    }
    return pa.schema(
        [
            pa.field(latent_column(info.name), pa.list_(pa.float32()), metadata=metadata),
            pa.field(codes_column(info.name), pa.list_(pa.int16()), metadata=metadata),
        ]
    )


def label_names(schema: pa.Schema) -> list[str]:
    """Every model that has labelled the table."""
    return sorted(name.removeprefix(_LATENT) for name in schema.names if name.startswith(_LATENT))


def label_info(schema: pa.Schema, name: str) -> LatentInfo:
    """Read a column's origin; raise DataEngineError with the known names if there is none."""
    if latent_column(name) not in schema.names:
        hint = did_you_mean(name, label_names(schema))
        raise DataEngineError(f"no latent actions called '{name}' (`villa label` writes some); {hint}")
    return origin(schema.field(latent_column(name)))


def origin(field: pa.Field) -> LatentInfo:
    """Read what one of the two columns says of the model; raise DataEngineError where it does not."""
    metadata = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
    try:
        return LatentInfo(
            name=field.name.removeprefix(_LATENT).removeprefix(_CODES),
            fingerprint=metadata["villa:lam_fingerprint"],
            k=int(metadata["villa:k"]),
            d=int(metadata["villa:d"]),
            interval_s=float(metadata["villa:interval_s"]),
            past_frames=metadata.get("villa:past_frames", "true") == "true",
            precision=metadata.get("villa:precision", "fp32"),
        )
    except KeyError as error:
        raise DataEngineError(
            f"column {field.name} does not say {error.args[0]}; it was not written by `villa label`"
        ) from None


def label_slot(schema: pa.Schema, name: str) -> str:
    """Which camera a column's latent actions were seen by."""
    return (schema.field(latent_column(name)).metadata or {}).get(b"villa:slot", b"primary").decode()


def about(schema: pa.Schema, name: str) -> str:
    """Say of a column's latent actions what tells them from others."""
    info, slot = label_info(schema, name), label_slot(schema, name)
    computed = "" if info.precision == "fp32" else f", in {info.precision}"
    return f"{info.interval_s:g} s, {info.kind}, camera {slot}, {info.k} codes, model {info.fingerprint}{computed}"


def unflatten(
    info: LatentInfo, latent: NDArray[np.float32], codes: NDArray[np.int16]
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Shape one episode's flat values into (t, k, d) and (t, k)."""
    return latent.reshape(-1, info.k, info.d), codes.reshape(-1, info.k)
