"""Names of distributions: what Python and the framework bring, which are the same, and what they are imported as."""

import re
import sys
from collections.abc import Mapping
from types import MappingProxyType

from packaging.utils import canonicalize_name

BACKPORTS = frozenset({
    "backports-functools-lru-cache", "configparser", "distribute", "enum34", "functools32", "futures", "importlib",
    "pathlib", "pkg-resources", "singledispatch", "subprocess32", "typing", "wsgiref",
})  # fmt: skip
"""Distributions of what Python has had for long; some would shadow it, others install on Python 2 alone."""

FRAMEWORK = frozenset({"chainermn", "chainerx", "ideep4py", "onnx-chainer"})
"""What Chainer 7 has in itself, or does without."""

SAME: Mapping[str, str] = MappingProxyType(
    {
        "bs4": "beautifulsoup4",
        "cv2": "opencv-python-headless",
        "opencv-contrib-python": "opencv-python-headless",
        "opencv-contrib-python-headless": "opencv-python-headless",
        "opencv-python": "opencv-python-headless",
        "pil": "pillow",
        "pillow-simd": "pillow",
        "progressbar": "progressbar2",
        "progressbar33": "progressbar2",
        "py-opencv": "opencv-python-headless",
        "skimage": "scikit-image",
        "sklearn": "scikit-learn",
        "tensorflow-gpu": "tensorflow",
        "yaml": "pyyaml",
    }
)
"""Distributions, and others that provide the same modules, on this Python and a node without a screen."""

_CUPY = re.compile(r"cupy(-(cuda|rocm)[\d.x-]*)?")
CUPY_NAMES = (
    "cupy",
    *(f"cupy-cuda{version}" for version in
      ("80", "90", "91", "92", "100", "101", "102", "110", "111", "112", "113", "114", "115", "116", "117",
       "11x", "12x", "13x")),
)  # fmt: skip

_IMPORTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "attrs": ("attr", "attrs"),
        "beautifulsoup4": ("bs4",),
        "biopython": ("Bio",),
        "gitpython": ("git",),
        "google-cloud-storage": ("google",),
        "graphviz": ("graphviz",),
        "ipython": ("IPython",),
        "opencv-python": ("cv2",),
        "opencv-python-headless": ("cv2",),
        "pillow": ("PIL",),
        "progressbar2": ("progressbar",),
        "protobuf": ("google",),
        "pycrypto": ("Crypto",),
        "pyserial": ("serial",),
        "python-dateutil": ("dateutil",),
        "pyyaml": ("yaml",),
        "pyzmq": ("zmq",),
        "rdkit-pypi": ("rdkit",),
        "scikit-image": ("skimage",),
        "scikit-learn": ("sklearn",),
        "tensorboard-chainer": ("tb_chainer",),
        "umap-learn": ("umap",),
    }
)
"""Modules of distributions whose names differ."""

_CONDA: Mapping[str, str] = MappingProxyType(
    {
        "matplotlib-base": "matplotlib",
        "msgpack-python": "msgpack",
        "opencv": "opencv-python-headless",
        "pytables": "tables",
        "pytorch": "torch",
        "pytorch-cpu": "torch",
        "tensorflow-base": "tensorflow",
    }
)
_CONDA_ONLY = frozenset({
    "anaconda", "blas", "bzip2", "ca-certificates", "conda", "cudatoolkit", "cudnn", "dbus", "expat", "ffmpeg",
    "fontconfig", "freetype", "gcc", "glib", "gst-plugins-base", "gstreamer", "hdf5", "icu", "intel-openmp", "jpeg",
    "mkl", "nccl", "ncurses", "ninja", "openblas", "openmpi", "openssl", "pcre", "pip", "pyqt", "python", "python_abi",
    "qt", "readline", "setuptools", "sip", "sqlite", "tk", "wheel", "xz", "yaml", "zeromq", "zlib", "zstd",
})  # fmt: skip
"""Conda's packages that are no packages of Python, or that the environment has in another way."""


def is_python(name: str) -> bool:
    """Whether a distribution has the name of a module of Python, or is a backport of one."""
    return canonicalize_name(name) in BACKPORTS or name.lower().replace("-", "_") in sys.stdlib_module_names


def is_cupy(name: str) -> bool:
    """Whether a distribution is CuPy, for any version of CUDA."""
    return _CUPY.fullmatch(canonicalize_name(name)) is not None


def on_pypi(conda: str) -> str | None:
    """Return the name on PyPI of a conda package, or None if it is no package of Python."""
    name = conda.lower()
    if name in _CONDA_ONLY or name.startswith(("_", "lib", "mkl-", "mkl_", "xorg-", "cuda-", "gcc_", "gxx_")):
        return None
    return _CONDA.get(name, name)


def import_names(distribution: str) -> frozenset[str]:
    """Return the modules, in lower case, that a distribution may be imported as: known ones, else guesses."""
    name = canonicalize_name(distribution)
    if name in _IMPORTS:
        return frozenset(module.lower() for module in _IMPORTS[name])
    guesses = {name, name.removeprefix("python-"), name.removesuffix("-python"), name.removeprefix("py")}
    guesses |= {re.sub(r"[-_]?\d+$", "", guess) for guess in guesses}
    return frozenset(form for guess in guesses if guess for form in (guess.replace("-", "_"), guess.replace("-", "")))
