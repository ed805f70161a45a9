"""Writes trained encoders as folders that load elsewhere, as architectures of transformers, without code of ours."""

from zoo.export.exporting import FORMATS, export_encoder, export_run

__all__ = ["FORMATS", "export_encoder", "export_run"]
