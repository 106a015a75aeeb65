"""The message of a manifest that is refused."""

import pytest

from cocoop.data import prepare
from cocoop.errors import UserError


def refused(spec, folder):
    """The message of a manifest that is refused and not written."""
    out = folder.parent / "manifest.json"
    with pytest.raises(UserError) as error:
        prepare.manifest(spec, folder.parent, out)
    assert not out.exists()
    return str(error.value)
