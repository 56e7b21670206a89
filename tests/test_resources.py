from pathlib import Path

import pytest

from blis.errors import ConfigError
from blis.files import resources
from blis.files.resources import data_path


@pytest.mark.parametrize("name", ["defaults.yaml", "hardware_config.json", "model_configs"])
def test_shipped_data_is_found(name):
    assert data_path(name).exists()
    assert data_path(name).name == name


def test_working_directory_is_never_looked_at(tmp_path, monkeypatch):
    (tmp_path / "defaults.yaml").write_text("models: {}\nworkloads: {}\n")
    monkeypatch.chdir(tmp_path)
    assert data_path("defaults.yaml").resolve() != tmp_path / "defaults.yaml"


def test_data_inside_the_package_comes_first(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "blis"
    shipped = package / "_data" / "defaults.yaml"
    shipped.parent.mkdir(parents=True)
    shipped.touch()
    (package.parent / "defaults.yaml").touch()
    monkeypatch.setattr(resources, "_PACKAGE", package)
    assert data_path("defaults.yaml") == shipped


def test_data_beside_the_package_is_the_checkout(tmp_path, monkeypatch):
    (tmp_path / "defaults.yaml").touch()
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "blis")
    assert data_path("defaults.yaml") == tmp_path / "defaults.yaml"


def test_missing_data_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "blis")
    with pytest.raises(ConfigError, match=r"^defaults\.yaml: shipped data not found; looked for [^\n]*$"):
        data_path("defaults.yaml")


def test_package_directory_is_absolute():
    assert Path(resources._PACKAGE).is_absolute()
