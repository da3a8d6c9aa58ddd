"""Corners of what collides of a body: enough to know how wide it is, how high it reaches, where a hand goes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

SPHERE, CAPSULE, ELLIPSOID, CYLINDER, BOX, MESH = 2, 3, 4, 5, 6, 7
"""MuJoCo's numbers for shapes."""


def corners(sim: Any, body: int) -> NDArray[np.float64]:
    """(n, 3) world corners of all that collides of a body and of those that hang on it, in metres."""
    model, data = sim.model._model, sim.data._data
    below = {body}
    for child in range(body + 1, model.nbody):
        if model.body_parentid[child] in below:
            below.add(child)
    parts = []
    for geom in range(model.ngeom):
        if model.geom_bodyid[geom] in below and model.geom_contype[geom] | model.geom_conaffinity[geom]:
            local = _local(model, geom)
            parts.append(local @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom])
    return np.concatenate(parts)


def _local(model: Any, geom: int) -> NDArray[np.float64]:
    """(n, 3) corners in the shape's own frame."""
    kind, size = int(model.geom_type[geom]), model.geom_size[geom]
    if kind == MESH:
        mesh = model.geom_dataid[geom]
        start = model.mesh_vertadr[mesh]
        return np.asarray(model.mesh_vert[start : start + model.mesh_vertnum[mesh]], np.float64)
    if kind == SPHERE:
        half = np.repeat(size[0], 3)
    elif kind == CAPSULE:
        half = np.array([size[0], size[0], size[0] + size[1]])
    elif kind == CYLINDER:
        half = np.array([size[0], size[0], size[1]])
    else:
        half = np.asarray(size)
    signs = np.array(np.meshgrid(*[(-1, 1)] * 3)).reshape(3, -1).T
    return signs * half
