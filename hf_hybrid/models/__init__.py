"""Codecs: images to latents and back."""

from hf_hybrid.models.alphagan import AlphaGAN, DecoderOutput, EncoderOutput

__all__ = ["AlphaGAN", "DecoderOutput", "EncoderOutput"]
