"""Fonts for names in any script."""


def matplotlib_families() -> list[str]:
    """Font families for matplotlib, the first choice first."""
    return ["DejaVu Sans"]
