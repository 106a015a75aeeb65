"""What the tests of backbones share: the golden CLIP as a user's files."""

import pytest

from tests.images.pictures import save_golden


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    return save_golden(tmp_path_factory.mktemp("golden"))
