# ruff: noqa: ANN401 - Chainer has no types
"""The class `MaxPooling2D`, which Chainer 7 made one case of `MaxPoolingND`."""

from typing import Any

from chainer.functions.pooling.max_pooling_nd import MaxPoolingND


class MaxPooling2D(MaxPoolingND):  # type: ignore[misc] # Chainer has no types
    """Max pooling over images (N, C, H, W). After it was applied, `indexes` is what `upsampling_2d` takes."""

    def __init__(
        self,
        ksize: Any,
        stride: Any = None,
        pad: Any = 0,
        cover_all: bool = True,  # noqa: FBT001, FBT002 - Chainer's signature
        use_cudnn: bool = True,  # noqa: ARG002, FBT001, FBT002 - as above; the numbers are the same
    ) -> None:
        super().__init__(2, ksize, stride, pad, cover_all)
        # As Pooling2D names them, which this class was.
        self.kh, self.kw = self.ksize
        self.sy, self.sx = self.stride
        self.ph, self.pw = self.pad
