"""Does our actor give the numbers of another implementation? `python -m models.act.reference DIR` tells.

DIR holds `config.json`, `weights.safetensors`, `inputs.safetensors` and `outputs.safetensors` under the names of the
authors' code (microsoft/villa-x, b10f106), and optionally `gradient_norms.json` and `resnet18_trunk.safetensors`;
`tests/models/golden_act/README.md` tells where such a folder comes from. Sizes are those of its own `config.json`.
"""
