"""What the tests of image features share: the golden CLIP, and a small dataset of pictures on disk."""

import pytest

from tests.images.pictures import dataset, load_golden


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return load_golden(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def manifest(root):
    return dataset(root)
