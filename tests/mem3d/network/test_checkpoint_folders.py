"""What lies at a path."""

import pytest

from mem3d.network.checkpoint import FILES, check_run, check_trained, is_published


def test_a_file_and_nothing_are_told(tmp_path):
    (tmp_path / "best.safetensors").touch()
    for name, got in (("best.safetensors", "a file"), ("absent", "nothing there")):
        for check in (check_run, check_trained):
            with pytest.raises(ValueError, match=f"{name}: got {got}, want a run's folder"):
                check(tmp_path / name)
    check_run(tmp_path)


def test_a_published_folder_is_no_run(tmp_path):
    for name in FILES:
        assert not is_published(tmp_path)
        (tmp_path / name).touch()
    assert is_published(tmp_path)
    check_trained(tmp_path)
    with pytest.raises(ValueError, match="published folder, want the run that it was made from"):
        check_run(tmp_path)
