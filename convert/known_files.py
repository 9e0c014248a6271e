"""Published ONNX files of all-MiniLM-L6-v2, by their SHA-256.

A file in this list is known to be harmless and is named in the record. It is verified like any other file, and files
that are not listed convert too.
"""

from collections.abc import Mapping

_OFFICIAL = "sentence-transformers/all-MiniLM-L6-v2 onnx"
_ONNX_MODELS = "onnx-models/all-MiniLM-L6-v2"
_COMMUNITY = "onnx-community/all-MiniLM-L6-v2"
_XENOVA = "Xenova/all-MiniLM-L6-v2 onnx"

KNOWN_FILES: Mapping[str, str] = {
    "6fd5d72fe4589f189f8ebc006442dbb529bb7ce38f8082112682524616046452": f"{_OFFICIAL}/model.onnx",
    "1667d7f3ba669048b13a96ee3a44456d5e42c8f44588ae8b603430e16160c485": f"{_OFFICIAL}/model_O4.onnx",
    "4278337fd0ff3c68bfb6291042cad8ab363e1d9fbc43dcb499fe91c871902474": f"{_OFFICIAL}/model_qint8_avx512.onnx",
    "b941bf19f1f1283680f449fa6a7336bb5600bdcd5f84d10ddc5cd72218a0fd21": f"{_OFFICIAL}/model_quint8_avx2.onnx",
    "4a64cee3d4134bbdc86eed96e1a660efec58975417204ecfcf134140edb6e0e2": "optimum/all-MiniLM-L6-v2 model.onnx",
    "759c3cd2b7fe7e93933ad23c4c9181b7396442a2ed746ec7c1d46192c469c46e": f"{_XENOVA}/model.onnx",
    "2cdb5e58291813b6d6e248ed69010100246821a367fa17b1b81ae9483744533d": f"{_XENOVA}/model_fp16.onnx",
    "afdb6f1a0e45b715d0bb9b11772f032c399babd23bfc31fed1c170afc848bdb1": f"{_XENOVA}/model_quantized.onnx",
    "eb08a666c46109637e0b6cb04f6052a68efd59bb0252d4e0438d28fb6b2d853d": f"{_XENOVA}/model_q4f16.onnx",
    "bbd7b466f6d58e646fdc2bd5fd67b2f5e93c0b687011bd4548c420f7bd46f0c5": "Qdrant/all-MiniLM-L6-v2-onnx model.onnx",
    "4f148ba8ae9c2c7fbee4af2b132db8d06c6a6545b47fc83bbb98c3d22b8393e6": "Chroma's all-MiniLM-L6-v2 onnx/model.onnx",
    "994a58868f7abacacbf2192aa0aae8f56da8c4505dbde2740c861b24426ede6b": f"{_ONNX_MODELS}-onnx model.onnx",
    "2f019cf6217537cc4bfc7f5192f21dea1e18445177edaab0bc6163a813e5c7a1": f"{_COMMUNITY}-ONNX onnx/model.onnx",
}
