"""image-classification. Files are decoded here, inside the sandbox, and nowhere else."""

import io
import warnings
from typing import Any

import torch

# The plug-ins are imported before the lock; `Image.open` would look for them.
from PIL import Image, ImageOps, JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401

from models_registry.runtime import media
from models_registry.runtime.inside.models.base import Model, finite, table_of
from models_registry.runtime.inside.serve import Refusal

_KINDS = ("PNG", "JPEG", "WEBP")


class ImageClassifier(Model):
    """A score for every label. Images go through one by one: they come out in different sizes, and are large."""

    def __init__(self, network: Any, processor: Any, *, device: str) -> None:
        super().__init__(network, device=device)
        self.processor = processor
        Image.MAX_IMAGE_PIXELS = media.IMAGE_PIXELS

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "labels": self.labels()}

    def run(self, inputs: list[bytes], parameters: dict[str, Any]) -> dict[str, Any]:
        scores, shapes = [], []
        for position, data in enumerate(inputs):
            self.look()
            pixels = self.processor(images=opened(data, position), return_tensors="pt")["pixel_values"]
            pixels = pixels.to(self.device, self.network.dtype)
            shapes.append([1, int(pixels.shape[-1])])
            scores.append(self.probabilities(finite(self.network(pixel_values=pixels).logits))[0])
        return {
            **table_of(torch.stack(scores)),
            "batches": shapes,
            "input_tokens": 0,
            "output_tokens": 0,
            "truncated": [],
        }


def opened(data: bytes, position: int) -> Image.Image:
    """The image, upright and in RGB, as transformers' pipeline opens it. The size is checked before decoding."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=_KINDS)
            media.image_size_check(*image.size)
            return ImageOps.exif_transpose(image).convert("RGB")
    # Decoders raise whatever they please on a damaged file.
    except Exception as error:
        raise Refusal("input.invalid", "unreadable", position=position) from error
