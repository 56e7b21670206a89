"""Models of all families against the sizes that their publishers state."""

import json

import pytest
from helpers_published import PUBLISHED

from blis.config.model.reading import read_model


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_those_published(tmp_path, name):
    config, total, active = PUBLISHED[name]
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = read_model(tmp_path)
    assert model.num_parameters / 1e9 == pytest.approx(total, rel=0.01)
    if active is not None:
        assert model.num_active_parameters / 1e9 == pytest.approx(active, rel=0.02)
