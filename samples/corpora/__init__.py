"""Text that the samples are trained on and judged by, written or generated here."""
