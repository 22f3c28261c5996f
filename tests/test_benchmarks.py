"""The benchmarks run: what they measure is not looked at here."""

from tests.benchmarks import benchmark


def test_every_stage_is_measured_at_every_length(capsys):
    few = ["--models", "nearest_path", "--runs", "1", "--enough", "0"]
    benchmark.main(["--seconds", "0.2", "0.4", *few])
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head == "|  | 0.2 s | 0.4 s | growth |"
    assert len(rows) > 12
    assert not any("| - |" in row for row in rows)
