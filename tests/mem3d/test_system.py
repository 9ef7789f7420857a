"""What a checkout and a machine tell of themselves."""

import torch

from mem3d.system import commit, computes_bfloat16, described, processor

HASH = "0123456789abcdef" * 2 + "01234567"


def test_the_commit_of_a_checkout_is_read_wherever_git_keeps_it(tmp_path):
    assert commit(tmp_path) is None
    git = tmp_path / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert commit(tmp_path) is None
    (git / "packed-refs").write_text(
        f"# pack-refs\n{HASH[::-1]} refs/heads/x\n{HASH} refs/heads/main\n"
    )
    assert commit(tmp_path) == HASH
    (git / "refs" / "heads" / "main").write_text(HASH[::-1] + "\n")
    assert commit(tmp_path) == HASH[::-1]
    (git / "HEAD").write_text(HASH + "\n")
    assert commit(tmp_path) == HASH


def test_the_processor_has_a_name(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A Chip 9\n")
    assert processor(tmp_path / "cpuinfo") == "A Chip 9"
    processor(tmp_path / "absent")  # whatever it is, no error
    assert {"version", "commit", "command", "threads", "processor"} <= described().keys()


def test_what_multiplies_bfloat16(monkeypatch):
    assert computes_bfloat16("cuda:0")
    for can in (True, False):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda can=can: can)
        assert computes_bfloat16("cpu") is can
